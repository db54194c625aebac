#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// The loss of next-token prediction. Rows whose label is negative are ignored. Letters:
// trainer/dims.h; errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct CrossEntropyArgs {
  Tensor logits;    // (N, V) T
  Tensor labels;    // (N) i32, each < V
  Tensor loss_sum;  // (1) f64, in place
};

// loss_sum += sum over labels >= 0 of -log softmax(logits)[label], in nats. INVALID_ARGUMENT (CPU
// only) names a label >= V.
absl::Status CrossEntropy(const OpContext& context, const CrossEntropyArgs& args);

struct CrossEntropyInPlaceArgs {
  Tensor logits;      // (N, V) T; replaced by their gradients
  Tensor labels;      // (N) i32
  Tensor loss_scale;  // (1) S: what the loss sum is multiplied by in the objective
  Tensor loss_sum;    // (1) f64, in place
  double soft_cap =
      0.0;  // > 0: the logits are soft_cap * tanh(x / soft_cap), and the gradient is that of x
};

// As CrossEntropy, and logits = (softmax(logits) - onehot(label)) * loss_scale, zero in ignored
// rows; with a soft-cap times 1 - (logits / soft_cap)^2.
absl::Status CrossEntropyInPlace(const OpContext& context, const CrossEntropyInPlaceArgs& args);

}  // namespace tunesmith::trainer
