#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Attention that stores its T x T probabilities: the baseline that flash_attention.h is measured
// against. Letters: trainer/dims.h; errors: trainer/ops/embedding.h.
//
// Key j is visible to query i of the same row where max(document_starts[i], i - window + 1) <= j <= i
// (window 0: document_starts[i] <= j <= i). document_starts holds, for each token, the index in its
// row of its document's first token, so 0 <= document_starts[i] <= i and every query sees at least
// itself.
namespace tunesmith::trainer {

struct AttentionShape {
  int64_t context = 0;        // T; BT / T rows are independent
  int64_t head_count = 0;     // H
  int64_t kv_head_count = 0;  // K, a divisor of H
  int64_t head_size = 0;      // D
  double scale = 1.0;         // of the scores before softmax
  int64_t window = 0;         // keys that a query sees at most, itself among them; 0: no limit
  double soft_cap = 0.0;      // scores become soft_cap * tanh(score / soft_cap); 0: they stay
  double alibi_bias_max =
      0.0;  // then alibi_factor * AlibiSlope (alibi.h) times the distance is taken off; 0: no
  double alibi_factor = 1.0;
  // Where these heads are a share of all: which of all is the first, and how many there are (0: head_count). ALiBi's slopes go by it.
  int64_t first_head = 0;
  int64_t all_head_count = 0;
};

// Of all heads, the one that is `head` of these; and how many there are.
inline int64_t HeadOfAll(const AttentionShape& shape, int64_t head) {
  return shape.first_head + head;
}
inline int64_t AllHeadCount(const AttentionShape& shape) {
  return shape.all_head_count > 0 ? shape.all_head_count : shape.head_count;
}

struct AttentionArgs {
  Tensor q;                // (BT, H * D) T
  Tensor k;                // (BT, K * D) T
  Tensor v;                // (BT, K * D) T
  Tensor document_starts;  // (BT) i32
  Tensor o;                // (BT, H * D) T, out
  Tensor probabilities;    // (B * H, T, T) T, out; zero where masked
  AttentionShape shape = {};
};

// probabilities = softmax(scores), scores = scale * q k^T [capped, with ALiBi], o = probabilities v, per head.
absl::Status Attention(const OpContext& context, const AttentionArgs& args);

struct AttentionBackwardArgs {
  Tensor d_o;              // (BT, H * D) T
  Tensor q;                // (BT, H * D) T
  Tensor k;                // (BT, K * D) T
  Tensor v;                // (BT, K * D) T
  Tensor probabilities;    // (B * H, T, T) T
  Tensor document_starts;  // (BT) i32
  Tensor dq;               // (BT, H * D) T, out
  Tensor dk;               // (BT, K * D) T, out
  Tensor dv;               // (BT, K * D) T, out
  Tensor workspace;        // T, scratch: planner/program/workspace.h says how many elements
  AttentionShape shape = {};
};

absl::Status AttentionBackward(const OpContext& context, const AttentionBackwardArgs& args);

}  // namespace tunesmith::trainer
