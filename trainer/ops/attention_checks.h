#pragma once

#include "absl/status/status.h"
#include "planner/program/op.h"
#include "trainer/ops/attention.h"

namespace tunesmith::trainer {

// What the attention ops check alike: the head counts, the row length, and the dims of q, k, v,
// document_starts. INVALID_ARGUMENT names the op and the tensor or size.
// `columns`: q, k and v may be columns of wider matrices.
absl::Status CheckAttention(planner::OpKind op, const AttentionShape& shape, const Tensor& q,
                            const Tensor& k, const Tensor& v, const Tensor& document_starts,
                            bool columns = false);

// The head counts alone.
absl::Status CheckHeads(planner::OpKind op, const AttentionShape& shape);

}  // namespace tunesmith::trainer
