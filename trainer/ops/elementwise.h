#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Sums, clearing and conversion of whole tensors. Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct AddArgs {
  Tensor x;  // any shape, T
  Tensor y;  // x's shape and dtype, in place
  planner::Stream stream = planner::Stream::kCompute;
};

// y += x.
absl::Status Add(const OpContext& context, const AddArgs& args);

// The same as an op of a forward pass: y is z's storage, and becomes z + x.
absl::Status Sum(const OpContext& context, const AddArgs& args);

struct SoftCapArgs {
  Tensor x;          // any shape, T, in place
  double cap = 0.0;  // > 0
};

// x = cap * tanh(x / cap).
absl::Status SoftCap(const OpContext& context, const SoftCapArgs& args);

struct ClearArgs {
  Tensor y;  // any shape and dtype, out
};

// y = 0.
absl::Status Clear(const OpContext& context, const ClearArgs& args);

struct CopyArgs {
  Tensor x;  // any shape; f32, f64, bf16 or f16, or any dtype if y has the same
  Tensor y;  // as many elements as x, out; its own storage
  planner::Stream stream = planner::Stream::kCompute;
};

// y = x, rounded to nearest even where y's dtype is narrower.
absl::Status Copy(const OpContext& context, const CopyArgs& args);

}  // namespace tunesmith::trainer
