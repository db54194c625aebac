#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "trainer/comm/communicator.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/ops/op_context.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {

// A device and all that ops need to run there.
class OpenDevice {
 public:
  // "cpu" or "cuda:N", with `thread_count` threads for what processors compute; 0: one per processor. INVALID_ARGUMENT for another name; errors of
  // CudaContext::Create and OpenDeviceCollectives. `comm`, which must outlive the device, speaks to the other ranks of the job, who open theirs; null: there
  // are none.
  static absl::StatusOr<OpenDevice> Open(std::string_view name, int64_t thread_count,
                                         Communicator* comm = nullptr);

  // Valid as long as this object, also after it is moved.
  const OpContext& context() const { return context_; }

 private:
  OpContext context_;
  std::unique_ptr<ThreadPool> threads_;
  std::unique_ptr<CudaContext> cuda_;
  std::unique_ptr<Collectives> collectives_;
};

}  // namespace tunesmith::trainer
