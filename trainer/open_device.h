#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/ops/op_context.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {

// A device and all that ops need to run there.
class OpenDevice {
 public:
  // "cpu" (with `thread_count` threads; 0: one per processor) or "cuda:N". INVALID_ARGUMENT for another name; errors of CudaContext::Create.
  // `comm`, which must outlive the device, speaks to the other ranks of the job; null: there are none.
  static absl::StatusOr<OpenDevice> Open(std::string_view name, int64_t thread_count,
                                         Communicator* comm = nullptr);

  // Valid as long as this object, also after it is moved.
  const OpContext& context() const { return context_; }

 private:
  OpContext context_;
  std::unique_ptr<ThreadPool> threads_;
  std::unique_ptr<CudaContext> cuda_;
};

}  // namespace tunesmith::trainer
