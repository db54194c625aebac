#pragma once

#include "absl/status/status.h"
#include "trainer/ops/flash_attention.h"

// CUDA kernels of trainer/ops/flash_attention.h, put on the context's stream. REQUIRES: arguments
// that passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status FlashAttention(CudaContext& cuda, const FlashAttentionArgs& args);
absl::Status FlashAttentionBackward(CudaContext& cuda, const FlashAttentionBackwardArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
