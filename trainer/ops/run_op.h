#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Runs one op of a step program: names its tensors by their positions (planner/program/op.h) and
// calls the op. INVALID_ARGUMENT when a tensor is missing or does not fit; what else the op
// returns. Allocates less than 64 KiB. On CUDA the work is put on the context's stream.
absl::Status RunOp(const OpContext& context, const OpCall& call);

}  // namespace tunesmith::trainer
