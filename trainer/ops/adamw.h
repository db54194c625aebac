#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// One AdamW update (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), as
// torch.optim.AdamW computes it. Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct AdamWArgs {
  Tensor gradient;      // any shape; A
  Tensor clip_factor;   // (1) f32 or f64
  Tensor step_scalars;  // (kStepScalarCount) f32 or f64; see planner::StepScalar
  Tensor step_key =
      {};            // (1) u64: planner::StepKey; read where something is rounded stochastically
  Tensor parameter;  // gradient's shape, T, in place
  // gradient's shape, in place: both in T, f32, bf16 (rounded stochastically) or, where T is not
  // f64, u8 codes (dynamic_map.h).
  Tensor moment1;
  Tensor moment2;
  // (elements / kStateBlockSize, rounded up) f32, in place; where the moments are u8, else no data.
  Tensor moment1_scale = {};
  Tensor moment2_scale = {};
  // gradient's shape, f32, in place; or no data: the parameter is its own master, rounded
  // stochastically where it is bf16.
  Tensor master = {};
  bool decays = false;
  // What keys the random bits beside step_key: see planner::StepKey.
  uint64_t parameter_key = 0;
  int64_t instance = 0;
  int64_t first_element =
      0;  // of the parameter, that is the tensors' first: where the moments are u8, a multiple of kStateBlockSize
};

// With g = gradient * clip_factor:
//   moment1 = beta1 * moment1 + (1 - beta1) * g        p *= 1 - learning_rate * weight_decay, if it
//   decays moment2 = beta2 * moment2 + (1 - beta2) * g^2      p -= learning_rate * (moment1 / bc1)
//   / (sqrt(moment2 / bc2) + epsilon)
// where p is the master, then copied to the parameter, or the parameter itself. The update of p uses the moments before they are rounded.
absl::Status AdamW(const OpContext& context, const AdamWArgs& args);

}  // namespace tunesmith::trainer
