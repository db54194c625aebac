#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Rows of a table by token id, and the scatter of their gradients. Letters: trainer/dims.h.
//
// Of every op in this folder: INVALID_ARGUMENT names the op and the tensor whose shape or dtype is
// wrong, UNIMPLEMENTED says that the device does not compute this dtype; nothing is written then.
// On CUDA an OK status means that the work was put on the context's stream. Calls on different
// tensors may run at once from different threads, each with its own thread pool.
namespace tunesmith::trainer {

struct EmbeddingArgs {
  Tensor tokens;       // (BT) i32, each in [0, V)
  Tensor weight;       // (V, C) T
  Tensor y;            // (BT, C) T, out
  double scale = 1.0;  // rounded to T, as Hugging Face's Gemma does
  bool accumulate = false;
};

// y[i] (+)= scale * weight[tokens[i]]. INVALID_ARGUMENT (CPU only) names a token outside the table.
absl::Status Embedding(const OpContext& context, const EmbeddingArgs& args);

struct EmbeddingBackwardArgs {
  Tensor tokens;   // (BT) i32
  Tensor dy;       // (BT, C) T
  Tensor dweight;  // (V, C) A, out
  double scale = 1.0;
  bool accumulate = false;
};

// dweight[tokens[i]] += scale * dy[i], cleared first unless accumulating. Deterministic: equal tokens are
// added in the order of i.
absl::Status EmbeddingBackward(const OpContext& context, const EmbeddingBackwardArgs& args);

}  // namespace tunesmith::trainer
