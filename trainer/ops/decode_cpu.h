#pragma once

#include "absl/status/status.h"
#include "trainer/ops/decode.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/decode.h, in f32 and f64. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status CacheAppend(ThreadPool& threads, const CacheAppendArgs& args);
absl::Status DecodeAttention(ThreadPool& threads, const DecodeAttentionArgs& args);
absl::Status ArgMax(ThreadPool& threads, const ArgMaxArgs& args);

}  // namespace tunesmith::trainer::cpu
