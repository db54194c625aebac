#include "trainer/ops/gather_rows.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/gather_rows_cpu.h"
#include "trainer/ops/gather_rows_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status GatherRows(const OpContext& context, const GatherRowsArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1], N = args.y.dims[0];
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kGatherRows, {
                                            {"x", args.x, {BT, C}, kComputeDTypes},
                                            {"rows", args.rows, {N}, DType::kI32},
                                            {"y", args.y, {N, C}, args.x.dtype},
                                        }));
  return Dispatch(context, args, cpu::GatherRows, cuda::GatherRows);
}

absl::Status ScatterRows(const OpContext& context, const ScatterRowsArgs& args) {
  const int64_t BT = args.dx.dims[0], C = args.dx.dims[1], N = args.dy.dims[0];
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kScatterRows, {
                                             {"dy", args.dy, {N, C}, kComputeDTypes},
                                             {"rows", args.rows, {N}, DType::kI32},
                                             {"dx", args.dx, {BT, C}, args.dy.dtype},
                                         }));
  return Dispatch(context, args, cpu::ScatterRows, cuda::ScatterRows);
}

}  // namespace tunesmith::trainer
