#pragma once

#include "absl/status/status.h"
#include "planner/program/op.h"
#include "trainer/ops/op_call.h"

namespace tunesmith::trainer {

// What the optimizer ops check alike.
struct UpdateTensors {
  const Tensor& gradient;
  const Tensor& clip_factor;
  const Tensor& step_scalars;
  const Tensor& step_key;
  const Tensor& parameter;
  const Tensor& master;
};

// INVALID_ARGUMENT names the op and the tensor. `rounds_stochastically`: the key is needed whatever the parameter is.
absl::Status CheckUpdate(planner::OpKind op, const UpdateTensors& tensors,
                         bool rounds_stochastically);

}  // namespace tunesmith::trainer
