#include "trainer/ops/dequantize_nf4.h"

#include "common/status_macros.h"
#include "common/units.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dequantize_nf4_cpu.h"
#include "trainer/ops/dequantize_nf4_cuda.h"
#include "trainer/ops/dispatch.h"

namespace tunesmith::trainer {
namespace {

constexpr planner::OpKind kOp = planner::OpKind::kDequantizeNf4;

absl::Status Check(const DequantizeNf4Args& args) {
  const int64_t rows = args.y.dims[0], columns = args.y.dims[1],
                blocks = CeilDivide(rows * columns, planner::kNf4BlockSize);
  TUNESMITH_RETURN_IF_ERROR(CheckThat(kOp, columns % 2 == 0, "y has an odd number of columns"));
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(kOp, {
                            {"codes", args.codes, {rows, columns / 2}, DType::kU8},
                            {"absmax", args.absmax, {blocks}, DTypeSet(DType::kU8) | DType::kF32},
                            {"y", args.y, {rows, columns}, kComputeDTypes},
                        }));
  if (args.absmax.dtype == DType::kF32) return absl::OkStatus();
  return CheckTensors(kOp, {
                               {"absmax_scale",
                                args.absmax_scale,
                                {CeilDivide(blocks, planner::kNf4ScaleBlockSize)},
                                DType::kF32},
                               {"absmax_offset", args.absmax_offset, {1}, DType::kF32},
                           });
}

}  // namespace

absl::Status DequantizeNf4(const OpContext& context, const DequantizeNf4Args& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(args));
  return Dispatch(context, args, cpu::DequantizeNf4, cuda::DequantizeNf4);
}

}  // namespace tunesmith::trainer
