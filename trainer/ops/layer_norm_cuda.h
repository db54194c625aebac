#pragma once

#include "absl/status/status.h"
#include "trainer/ops/layer_norm.h"

// CUDA kernels of trainer/ops/layer_norm.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status LayerNorm(CudaContext& cuda, const LayerNormArgs& args);
absl::Status LayerNormBackward(CudaContext& cuda, const LayerNormBackwardArgs& args);
absl::Status LayerNormBackwardWeight(CudaContext& cuda, const LayerNormBackwardWeightArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
