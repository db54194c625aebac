#pragma once

#include "absl/status/status.h"
#include "trainer/ops/rms_norm.h"

// CUDA kernels of trainer/ops/rms_norm.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status RmsNorm(CudaContext& cuda, const RmsNormArgs& args);
absl::Status RmsNormBackward(CudaContext& cuda, const RmsNormBackwardArgs& args);
absl::Status RmsNormBackwardWeight(CudaContext& cuda, const RmsNormBackwardWeightArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
