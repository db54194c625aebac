#pragma once

#include "absl/status/status.h"
#include "trainer/ops/attention.h"

// CUDA kernels of trainer/ops/attention.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Attention(CudaContext& cuda, const AttentionArgs& args);
absl::Status AttentionBackward(CudaContext& cuda, const AttentionBackwardArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
