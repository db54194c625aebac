#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Layer normalization (Ba, Kiros and Hinton 2016, arXiv 1607.06450), as PyTorch computes it. Letters: trainer/dims.h; errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct LayerNormArgs {
  Tensor x;          // (BT, C) T
  Tensor weight;     // (C) T
  Tensor bias = {};  // (C) T, or no data: none
  Tensor y;          // (BT, C) T, out; may be x's storage
  Tensor mean;       // (BT) S, out
  Tensor rstd;       // (BT) S, out
  double epsilon = 0.0;
};

// rstd = 1 / sqrt(variance(x) + epsilon), y = (x - mean) * rstd * weight + bias.
absl::Status LayerNorm(const OpContext& context, const LayerNormArgs& args);

struct LayerNormBackwardArgs {
  Tensor dy;      // (BT, C) T
  Tensor x;       // (BT, C) T
  Tensor weight;  // (C) T
  Tensor mean;    // (BT) S
  Tensor rstd;    // (BT) S
  Tensor dx;      // (BT, C) T, out; may be dy's storage unless accumulating
  bool accumulate = false;
};

// dx (+)= rstd * (g - mean(g) - n * mean(g * n)), g = weight * dy, n = (x - mean) * rstd.
absl::Status LayerNormBackward(const OpContext& context, const LayerNormBackwardArgs& args);

struct LayerNormBackwardWeightArgs {
  Tensor dy;       // (BT, C) T
  Tensor x;        // (BT, C) T
  Tensor mean;     // (BT) S
  Tensor rstd;     // (BT) S
  Tensor dweight;  // (C) A, out
  bool accumulate = false;
};

// dweight (+)= sum over rows of dy * n. The bias's gradient is BiasBackward of trainer/ops/linear.h.
absl::Status LayerNormBackwardWeight(const OpContext& context,
                                     const LayerNormBackwardWeightArgs& args);

}  // namespace tunesmith::trainer
