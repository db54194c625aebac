#pragma once

#include "absl/status/status.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// The function of attention.h computed in tiles that never hold a T x T matrix (Dao et al. 2022,
// arXiv 2205.14135, algorithms 1 and 4). Tiles that causality or document boundaries mask out
// entirely are skipped.
namespace tunesmith::trainer {

// q, k, v and their gradients may be columns of wider matrices: those of k and v of rows equally far apart, a gradient's as far as those of what it is
// the gradient of.
struct FlashAttentionArgs {
  Tensor q;                // (BT, H * D) T
  Tensor k;                // (BT, K * D) T
  Tensor v;                // (BT, K * D) T
  Tensor document_starts;  // (BT) i32
  Tensor o;                // (BT, H * D) T, out
  Tensor log_sum_exp;      // (B * H, T) S, out: of the scaled scores, for backward
  Tensor workspace;        // T, scratch: planner/program/workspace.h says how many elements
  AttentionShape shape = {};
  bool cudnn = false;  // on a GPU, by cuDNN's engine where there is one for the shape
};

absl::Status FlashAttention(const OpContext& context, const FlashAttentionArgs& args);

struct FlashAttentionBackwardArgs {
  Tensor d_o;              // (BT, H * D) T
  Tensor q;                // (BT, H * D) T
  Tensor k;                // (BT, K * D) T
  Tensor v;                // (BT, K * D) T
  Tensor o;                // (BT, H * D) T
  Tensor log_sum_exp;      // (B * H, T) S
  Tensor document_starts;  // (BT) i32
  Tensor dq;               // (BT, H * D) T, out
  Tensor dk;               // (BT, K * D) T, out
  Tensor dv;               // (BT, K * D) T, out
  Tensor workspace;        // T, scratch
  AttentionShape shape = {};
  bool cudnn = false;
};

absl::Status FlashAttentionBackward(const OpContext& context,
                                    const FlashAttentionBackwardArgs& args);

}  // namespace tunesmith::trainer
