#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Greedy generation, one token at a time, with a key/value cache. Letters: trainer/dims.h; errors:
// trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct CacheAppendArgs {
  Tensor x;          // (1, K * D) T
  Tensor positions;  // (1) i32, in [0, T)
  Tensor cache;      // (T, K * D) T, in place
};

// cache[positions[0]] = x. INVALID_ARGUMENT (CPU only) names a position outside the cache.
absl::Status CacheAppend(const OpContext& context, const CacheAppendArgs& args);

struct DecodeAttentionArgs {
  Tensor q;          // (1, H * D) T
  Tensor k_cache;    // (T, K * D) T; rows 0 to positions[0] are read
  Tensor v_cache;    // (T, K * D) T
  Tensor positions;  // (1) i32, in [0, T)
  Tensor o;          // (1, H * D) T, out
  Tensor scores;     // (H, T) S, scratch
  AttentionShape shape = {};
};

// o = softmax(scale * q k_cache^T) v_cache over the rows up to and including positions[0], per
// head.
absl::Status DecodeAttention(const OpContext& context, const DecodeAttentionArgs& args);

struct ArgMaxArgs {
  Tensor logits;  // (N, V) T, V >= 1
  Tensor token;   // (N) i32, out
};

// The index of each row's largest element, the lowest index where several are equal.
absl::Status ArgMax(const OpContext& context, const ArgMaxArgs& args);

}  // namespace tunesmith::trainer
