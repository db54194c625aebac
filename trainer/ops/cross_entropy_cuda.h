#pragma once

#include "absl/status/status.h"
#include "trainer/ops/cross_entropy.h"

// CUDA kernels of trainer/ops/cross_entropy.h, put on the context's stream. REQUIRES: arguments
// that passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status CrossEntropy(CudaContext& cuda, const CrossEntropyArgs& args);
absl::Status CrossEntropyInPlace(CudaContext& cuda, const CrossEntropyInPlaceArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
