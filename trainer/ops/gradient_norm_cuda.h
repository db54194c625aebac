#pragma once

#include "absl/status/status.h"
#include "trainer/ops/gradient_norm.h"

// CUDA kernels of trainer/ops/gradient_norm.h, put on the context's stream. REQUIRES: arguments
// that passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status SumSquares(CudaContext& cuda, const SumSquaresArgs& args);
absl::Status ClipFactor(CudaContext& cuda, const ClipFactorArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
