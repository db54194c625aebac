#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/cuda/cuda_context.h"

// Work that is queued again and again as one piece, for a launch of the whole instead of one of each kernel (a CUDA graph).
namespace tunesmith::trainer {

// What was captured, as the driver keeps it. May end while it runs: the driver waits.
class CudaGraph {
 public:
  struct Impl;
  explicit CudaGraph(std::unique_ptr<Impl> impl);
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  ~CudaGraph();

  // Keeps what `issue` queues on the compute stream, and runs none of it. Addresses and values that kernels are given are kept as they are now; what may change is to
  // lie in the device's memory. `issue` uses no other stream, waits for nothing and allocates nothing, or the driver refuses it (INTERNAL). Errors of `issue` besides.
  static absl::StatusOr<std::unique_ptr<CudaGraph>> Capture(
      CudaContext& cuda, const std::function<absl::Status()>& issue);

  // Queues all of it on the compute stream.
  absl::Status Launch(CudaContext& cuda) const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tunesmith::trainer
