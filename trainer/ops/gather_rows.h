#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Some rows of a matrix brought together, and the way back. Letters: trainer/dims.h; N rows are
// named, BT there are. Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct GatherRowsArgs {
  Tensor x;     // (BT, C) T
  Tensor rows;  // (N) i32: ascending indices of rows of x, any of them -1 where there is none
  Tensor y;     // (N, C) T, out; not x's storage
};

// y[i] = x[rows[i]], zeros where rows[i] is -1. INVALID_ARGUMENT (CPU only) names an index that is
// outside the matrix or does not ascend.
absl::Status GatherRows(const OpContext& context, const GatherRowsArgs& args);

struct ScatterRowsArgs {
  Tensor dy;    // (N, C) T
  Tensor rows;  // (N) i32, as in GatherRowsArgs
  Tensor dx;    // (BT, C) T, out; not dy's storage
};

// dx[rows[i]] = dy[i], zeros in every row that is not named. Errors as GatherRows.
absl::Status ScatterRows(const OpContext& context, const ScatterRowsArgs& args);

}  // namespace tunesmith::trainer
