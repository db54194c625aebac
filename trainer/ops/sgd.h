#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// One step of plain stochastic gradient descent, as torch.optim.SGD without momentum computes it.
// Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct SgdArgs {
  Tensor gradient;      // any shape; A
  Tensor clip_factor;   // (1) f32 or f64
  Tensor step_scalars;  // (kStepScalarCount) f32 or f64; see planner::StepScalar
  Tensor step_key =
      {};  // (1) u64: planner::StepKey; read where the parameter is rounded stochastically
  Tensor parameter;  // gradient's shape, T, in place
  // gradient's shape, f32, in place; or no data: the parameter is its own master, rounded
  // stochastically where it is bf16.
  Tensor master = {};
  bool decays = false;
  // What keys the random bits beside step_key: see planner::StepKey.
  uint64_t parameter_key = 0;
  int64_t instance = 0;
  int64_t first_element = 0;  // of the parameter, that is the tensors' first
};

// p -= learning_rate * (gradient * clip_factor + weight_decay * p, the latter if it decays), where p
// is the master, then copied to the parameter, or the parameter itself.
absl::Status Sgd(const OpContext& context, const SgdArgs& args);

}  // namespace tunesmith::trainer
