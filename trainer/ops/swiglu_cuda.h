#pragma once

#include "absl/status/status.h"
#include "trainer/ops/swiglu.h"

// CUDA kernels of trainer/ops/swiglu.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status SwiGlu(CudaContext& cuda, const SwiGluArgs& args);
absl::Status SwiGluBackward(CudaContext& cuda, const SwiGluBackwardArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
