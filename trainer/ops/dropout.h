#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Inputs of adapters, some dropped (Srivastava et al. 2014, JMLR 15). What is dropped is a function of the optimizer step's key, the module, the layer,
// the row in the optimizer step, the token and the element alone: neither micro-batches nor recomputation, tiles or threads change it. Letters:
// trainer/dims.h; errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct DropoutArgs {
  Tensor
      x;  // (N, I) T; row n is the (row_begin + n)-th token from the key's first on, in rows of `context`
  Tensor
      key;  // (2) u64: planner::DropoutKey of the step, and a first token, counted over the step's rows
  Tensor y;            // (N, I) T, out
  double share = 0.0;  // that is dropped, below 1
  uint64_t module_key = 0;
  int64_t layer = 0;
  int64_t context = 0;
  int64_t row_begin = 0;
  bool accumulate = false;
};

// y (+)= x / (1 - share) where x is kept, else 0: forward, and with gradients for x and y backward.
absl::Status Dropout(const OpContext& context, const DropoutArgs& args);
absl::Status DropoutBackward(const OpContext& context, const DropoutArgs& args);

}  // namespace tunesmith::trainer
