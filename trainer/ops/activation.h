#pragma once

#include "absl/status/status.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// The nonlinear function of an MLP without a gate. Letters: trainer/dims.h; errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct ActivationArgs {
  Tensor x;  // (BT, F) T
  Tensor y;  // (BT, F) T, out; may be x's storage
  planner::Activation activation = planner::Activation::kSilu;
};

// y = activation(x).
absl::Status ApplyActivation(const OpContext& context, const ActivationArgs& args);

struct ActivationBackwardArgs {
  Tensor dy;  // (BT, F) T
  Tensor x;   // (BT, F) T
  Tensor dx;  // (BT, F) T, out; may be the storage of dy or x
  planner::Activation activation = planner::Activation::kSilu;
};

// dx = dy * activation'(x).
absl::Status ActivationBackward(const OpContext& context, const ActivationBackwardArgs& args);

}  // namespace tunesmith::trainer
