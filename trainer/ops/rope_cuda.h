#pragma once

#include "absl/status/status.h"
#include "trainer/ops/rope.h"

// CUDA kernels of trainer/ops/rope.h, put on the context's stream. REQUIRES: arguments that passed
// its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Rope(CudaContext& cuda, const RopeArgs& args);
absl::Status RopeBackward(CudaContext& cuda, const RopeArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
