#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// The global gradient norm and the factor that clips it (as torch.nn.utils.clip_grad_norm_).
// Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct SumSquaresArgs {
  Tensor x;    // any shape, T
  Tensor sum;  // (1) f64, in place
};

// sum += sum of x^2, accumulated in f64 over chunks of fixed size in a fixed order: deterministic.
absl::Status SumSquares(const OpContext& context, const SumSquaresArgs& args);

struct ClipFactorArgs {
  Tensor sum;            // (1) f64: the squared norm
  Tensor step_scalars;   // (kStepScalarCount) f32 or f64
  Tensor clip_factor;    // (1) f32 or f64, out
  Tensor gradient_norm;  // (1) f32 or f64, out: before clipping
};

// gradient_norm = sqrt(sum); clip_factor = min(1, max_norm / (gradient_norm + 1e-6)), or 1 when
// max_norm <= 0. A norm that is not finite gives a factor of NaN or 0, as in PyTorch.
absl::Status ClipFactor(const OpContext& context, const ClipFactorArgs& args);

}  // namespace tunesmith::trainer
