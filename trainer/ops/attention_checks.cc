#include "trainer/ops/attention_checks.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/checks.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status CheckHeads(OpKind op, const AttentionShape& shape) {
  const bool sizes_hold = shape.head_count > 0 && shape.kv_head_count > 0 && shape.head_size > 0;
  if (sizes_hold && shape.head_count % shape.kv_head_count == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(planner::OpKindName(op), ": head_count(", shape.head_count,
             ") is not a multiple of kv_head_count(", shape.kv_head_count, "), or head_size(",
             shape.head_size, ") is not positive"));
}

absl::Status CheckAttention(OpKind op, const AttentionShape& shape, const Tensor& q,
                            const Tensor& k, const Tensor& v, const Tensor& document_starts,
                            bool columns) {
  const int64_t BT = q.dims[0], D = shape.head_size, T = shape.context;
  TUNESMITH_RETURN_IF_ERROR(CheckHeads(op, shape));
  if (T <= 0 || BT % T != 0) {
    return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": q has ", BT,
                                             " rows, not a multiple of context(", T, ")"));
  }
  return CheckTensors(op, {
                              {"q", q, {BT, shape.head_count * D}, kComputeDTypes, columns},
                              {"k", k, {BT, shape.kv_head_count * D}, q.dtype, columns},
                              {"v", v, {BT, shape.kv_head_count * D}, q.dtype, columns},
                              {"document_starts", document_starts, {BT}, DType::kI32},
                          });
}

}  // namespace tunesmith::trainer
