#pragma once

#include "absl/status/status.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// The gated activation of MLPs such as Llama's and Gemma's (Shazeer 2020, arXiv 2002.05202). Letters: trainer/dims.h;
// errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct SwiGluArgs {
  Tensor gate;  // (BT, F) T, may be columns of a wider matrix
  Tensor up;    // (BT, F) T, likewise
  Tensor y;     // (BT, F) T, out; may be the storage of gate or up
  planner::Activation activation = planner::Activation::kSilu;
};

// y = activation(gate) * up; silu(x) = x / (1 + exp(-x)).
absl::Status SwiGlu(const OpContext& context, const SwiGluArgs& args);

struct SwiGluBackwardArgs {
  Tensor dy;     // (BT, F) T
  Tensor gate;   // (BT, F) T, may be columns of a wider matrix, as up, dgate and dup
  Tensor up;     // (BT, F) T
  Tensor dgate;  // (BT, F) T, out; each output may be the storage of any input, but not both of the
                 // same
  Tensor dup;    // (BT, F) T, out
  planner::Activation activation = planner::Activation::kSilu;
};

absl::Status SwiGluBackward(const OpContext& context, const SwiGluBackwardArgs& args);

}  // namespace tunesmith::trainer
