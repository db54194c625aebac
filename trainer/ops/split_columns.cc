#include "trainer/ops/split_columns.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/split_columns_cpu.h"
#include "trainer/ops/split_columns_cuda.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

absl::Status Check(OpKind op, const Tensor& x, const Tensor& parts, int64_t part_count) {
  const int64_t N = x.dims[0], C = x.dims[1], W = parts.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      op, {{"x", x, {N, C}, kComputeDTypes}, {"parts", parts, {part_count * N, W}, x.dtype}}));
  return CheckThat(op, C % W == 0 && part_count * W % C == 0,
                   "parts do not make up the columns of x");
}

}  // namespace

absl::Status SplitColumns(const OpContext& context, const SplitColumnsArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kSplitColumns, args.x, args.parts, args.part_count));
  return Dispatch(context, args, cpu::SplitColumns, cuda::SplitColumns);
}

absl::Status JoinColumns(const OpContext& context, const JoinColumnsArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kJoinColumns, args.x, args.parts, args.part_count));
  return Dispatch(context, args, cpu::JoinColumns, cuda::JoinColumns);
}

}  // namespace tunesmith::trainer
