#include "trainer/ops/flash_attention_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

absl::Status Missing() {
  return absl::UnimplementedError("flash attention has no CUDA kernel; use attention=eager");
}

}  // namespace

absl::Status FlashAttention(CudaContext&, const FlashAttentionArgs&) { return Missing(); }
absl::Status FlashAttentionBackward(CudaContext&, const FlashAttentionBackwardArgs&) {
  return Missing();
}

}  // namespace tunesmith::trainer::cuda
