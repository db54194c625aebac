#pragma once

#include "absl/status/status.h"
#include "trainer/ops/activation.h"

// CUDA kernels of trainer/ops/activation.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status ApplyActivation(CudaContext& cuda, const ActivationArgs& args);
absl::Status ActivationBackward(CudaContext& cuda, const ActivationBackwardArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
