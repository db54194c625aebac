#pragma once

#include "absl/status/status.h"
#include "trainer/ops/decode.h"

// CUDA kernels of trainer/ops/decode.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status CacheAppend(CudaContext& cuda, const CacheAppendArgs& args);
absl::Status DecodeAttention(CudaContext& cuda, const DecodeAttentionArgs& args);
absl::Status ArgMax(CudaContext& cuda, const ArgMaxArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
