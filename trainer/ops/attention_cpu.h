#pragma once

#include "absl/status/status.h"
#include "trainer/ops/attention.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/attention.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status Attention(ThreadPool& threads, const AttentionArgs& args);
absl::Status AttentionBackward(ThreadPool& threads, const AttentionBackwardArgs& args);

}  // namespace tunesmith::trainer::cpu
