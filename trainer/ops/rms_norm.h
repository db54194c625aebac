#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Root-mean-square normalization (Zhang and Sennrich 2019, arXiv 1910.07467, eq. 4), as Hugging
// Face's LlamaRMSNorm computes it. Letters: trainer/dims.h; errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

// x may have rows of n * C elements, such as the heads of a query: each C of them are a row by themselves, BT then counting these.
struct RmsNormArgs {
  Tensor x;       // (BT, C) T
  Tensor weight;  // (C) T
  Tensor y;       // (BT, C) T, out; may be x's storage
  Tensor rstd;    // (BT) S, out
  double epsilon = 0.0;
  double weight_offset = 0.0;
};

// rstd = 1 / sqrt(mean(x^2) + epsilon), y = x * rstd * (weight_offset + weight).
absl::Status RmsNorm(const OpContext& context, const RmsNormArgs& args);

struct RmsNormBackwardArgs {
  Tensor dy;      // (BT, C) T
  Tensor x;       // (BT, C) T
  Tensor weight;  // (C) T
  Tensor rstd;    // (BT) S
  Tensor dx;      // (BT, C) T, out; may be dy's storage unless accumulating
  double weight_offset = 0.0;
  bool accumulate = false;
};

// dx (+)= rstd * (w * dy - n * mean(w * dy * n)), n = x * rstd, w = weight_offset + weight.
absl::Status RmsNormBackward(const OpContext& context, const RmsNormBackwardArgs& args);

struct RmsNormBackwardWeightArgs {
  Tensor dy;       // (BT, C) T
  Tensor x;        // (BT, C) T
  Tensor rstd;     // (BT) S
  Tensor dweight;  // (C) A, out
  bool accumulate = false;
};

// dweight (+)= sum over rows of dy * x * rstd.
absl::Status RmsNormBackwardWeight(const OpContext& context, const RmsNormBackwardWeightArgs& args);

}  // namespace tunesmith::trainer
