#pragma once

#include "absl/status/status.h"
#include "trainer/ops/linear.h"

// CUDA kernels of trainer/ops/linear.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Linear(CudaContext& cuda, const LinearArgs& args);
absl::Status LinearBias(CudaContext& cuda, const LinearBiasArgs& args);
absl::Status LinearBackwardInput(CudaContext& cuda, const LinearBackwardInputArgs& args);
absl::Status LinearBackwardWeight(CudaContext& cuda, const LinearBackwardWeightArgs& args);
absl::Status BiasBackward(CudaContext& cuda, const BiasBackwardArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
