#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Matrix products of linear layers; weights are stored as (output, input), as in PyTorch. Letters:
// trainer/dims.h; errors: trainer/ops/embedding.h. Sizes of zero are allowed: an empty sum is zero.
// `workspace` is scratch that the CPU needs where an operand or the result is bf16: any shape, f32,
// as planner/program/linear_workspace.h says; no data elsewhere.
namespace tunesmith::trainer {

struct LinearArgs {
  Tensor x;            // (BT, I) T, may be columns of a wider matrix
  Tensor weight;       // (O, I) T
  Tensor addend = {};  // (BT, O) T, or no data: nothing is added
  Tensor y;            // (BT, O) T, out; may be addend's storage
  double scale = 1.0;
  Tensor workspace = {};
};

// y = scale * x weight^T + addend.
absl::Status Linear(const OpContext& context, const LinearArgs& args);

struct LinearBiasArgs {
  Tensor x;            // (BT, I) T
  Tensor weight;       // (O, I) T
  Tensor bias;         // (O) T
  Tensor addend = {};  // (BT, O) T, or no data: nothing is added
  Tensor y;            // (BT, O) T, out; may be addend's storage
  Tensor workspace = {};
};

// y = x weight^T + bias + addend. In bf16 the sum of bias and addend is rounded first.
absl::Status LinearBias(const OpContext& context, const LinearBiasArgs& args);

struct LinearBackwardInputArgs {
  Tensor dy;      // (BT, O) T
  Tensor weight;  // (O, I) T
  Tensor dx;      // (BT, I) T, out, may be columns of a wider matrix
  double scale = 1.0;
  bool accumulate = false;
  Tensor workspace = {};
};

// dx (+)= scale * dy weight.
absl::Status LinearBackwardInput(const OpContext& context, const LinearBackwardInputArgs& args);

struct LinearBackwardWeightArgs {
  Tensor dy;       // (BT, O) T
  Tensor x;        // (BT, I) T, may be columns of a wider matrix
  Tensor dweight;  // (O, I) A, out
  double scale = 1.0;
  bool accumulate = false;
  Tensor workspace = {};
};

// dweight (+)= scale * dy^T x.
absl::Status LinearBackwardWeight(const OpContext& context, const LinearBackwardWeightArgs& args);

struct BiasBackwardArgs {
  Tensor dy;     // (BT, O) T
  Tensor dbias;  // (O) A, out
  bool accumulate = false;
};

// dbias (+)= column sums of dy.
absl::Status BiasBackward(const OpContext& context, const BiasBackwardArgs& args);

}  // namespace tunesmith::trainer
