#pragma once

#include "absl/status/status.h"
#include "trainer/ops/embedding.h"

// CUDA kernels of trainer/ops/embedding.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Embedding(CudaContext& cuda, const EmbeddingArgs& args);
absl::Status EmbeddingBackward(CudaContext& cuda, const EmbeddingBackwardArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
