#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "trainer/cuda/cudnn_graph.h"

// Attention as graphs of cuDNN's operations, which its engines know as fused attention: nothing of T x T exists in memory. Letters: trainer/dims.h. Pure
// construction: nothing is allocated, no device is needed.
namespace tunesmith::trainer {

// q, o and their gradients are (BT, H * D) bf16, k, v and theirs (BT, K * D) bf16. Causal.
struct AttentionGraphShape {
  int64_t rows = 0;           // B
  int64_t context = 0;        // T
  int64_t head_count = 0;     // H
  int64_t kv_head_count = 0;  // K, a divisor of H
  int64_t head_size = 0;      // D
  int64_t window = 0;         // keys that a query sees at most, itself among them; 0: no limit
  // Elements from a token to the next, in q and dq, and in k, v, dk and dv; 0: they lie one behind another, as in o and d_o.
  int64_t query_stride = 0;
  int64_t key_stride = 0;
  bool documents = false;  // keys are seen by the queries before their document's end alone

  int64_t token_count() const { return rows * context; }
  int64_t query_count() const { return rows * head_count * context; }
};

// What an execution of a graph gives addresses for: of the device, or of the host for the values.
enum class AttentionId : int64_t {
  kQ = 1,         // (BT, H * D) bf16
  kK,             // (BT, K * D) bf16
  kV,             // (BT, K * D) bf16
  kO,             // (BT, H * D) bf16
  kLogSumExp,     // (B * H, T) f32: of the scaled scores
  kDocumentEnds,  // (BT) i32, with documents: document_ends.h
  kDO,            // (BT, H * D) bf16
  kDQ,            // (BT, H * D) bf16
  kDK,            // (BT, K * D) bf16
  kDV,            // (BT, K * D) bf16
  kDeltas,        // (B * H, T) f32, scratch of backward: d_o . o
  kDQSums,        // (B, H, T, D) f32, scratch of backward: dq before it is rounded
  kScale,         // f32 value: of the scores
  kMasked,        // f32 value: the score of what is not seen, kMaskedScore
  kWindow,        // i32 value, with a window
  kOne,           // f32 value of backward: 1
};

// Large enough for a probability of zero; finite, because the difference of two infinities, where a tile of keys is masked out as a whole, is not a number.
inline constexpr float kMaskedScore = -1e30f;

// q, k, v, document ends -> o, log_sum_exp. `handle` may be null: the graph is then of no device. Errors of CudnnStatus.
absl::StatusOr<CudnnGraph> AttentionForwardGraph(const Cudnn& cudnn,
                                                 const AttentionGraphShape& shape,
                                                 cudnnHandle_t handle);

// d_o, q, k, v, o, log_sum_exp, document ends -> dq, dk, dv, and the two scratches. dq is summed by atomics, in an order that changes from run to run.
absl::StatusOr<CudnnGraph> AttentionBackwardGraph(const Cudnn& cudnn,
                                                  const AttentionGraphShape& shape,
                                                  cudnnHandle_t handle);

}  // namespace tunesmith::trainer
