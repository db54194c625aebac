#pragma once

#include "absl/status/status.h"
#include "trainer/ops/flash_attention.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/flash_attention.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status FlashAttention(ThreadPool& threads, const FlashAttentionArgs& args);
absl::Status FlashAttentionBackward(ThreadPool& threads, const FlashAttentionBackwardArgs& args);

}  // namespace tunesmith::trainer::cpu
