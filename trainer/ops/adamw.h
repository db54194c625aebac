#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// One AdamW update (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), as
// torch.optim.AdamW computes it. Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct AdamWArgs {
  Tensor gradient;      // any shape; T, or f32 when T is bf16
  Tensor clip_factor;   // (1) f32 or f64
  Tensor step_scalars;  // (kStepScalarCount) f32 or f64; see planner::StepScalar
  Tensor parameter;     // gradient's shape, T, in place
  Tensor moment1;       // gradient's shape; T, or f32 when T is bf16; in place
  Tensor moment2;       // gradient's shape; moment1's dtype, in place
  Tensor master =
      {};  // gradient's shape, f32, in place; or no data: the parameter is its own master
  bool decays = false;
};

// With g = gradient * clip_factor:
//   moment1 = beta1 * moment1 + (1 - beta1) * g        p *= 1 - learning_rate * weight_decay, if it
//   decays moment2 = beta2 * moment2 + (1 - beta2) * g^2      p -= learning_rate * (moment1 / bc1)
//   / (sqrt(moment2 / bc2) + epsilon)
// where p is the master, then copied to the parameter, or the parameter itself.
absl::Status AdamW(const OpContext& context, const AdamWArgs& args);

}  // namespace tunesmith::trainer
