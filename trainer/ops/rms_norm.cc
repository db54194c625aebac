#include "trainer/ops/rms_norm.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/rms_norm_cpu.h"
#include "trainer/ops/rms_norm_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status RmsNorm(const OpContext& context, const RmsNormArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kRmsNorm, {
                                         {"x", args.x, {BT, C}, kComputeDTypes},
                                         {"weight", args.weight, {C}, dtype},
                                         {"y", args.y, {BT, C}, dtype},
                                         {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                     }));
  return Dispatch(context, args, cpu::RmsNorm, cuda::RmsNorm);
}

absl::Status RmsNormBackward(const OpContext& context, const RmsNormBackwardArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kRmsNormBackward, {
                                                 {"x", args.x, {BT, C}, kComputeDTypes},
                                                 {"dy", args.dy, {BT, C}, dtype},
                                                 {"weight", args.weight, {C}, dtype},
                                                 {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                                 {"dx", args.dx, {BT, C}, dtype},
                                             }));
  TUNESMITH_RETURN_IF_ERROR(
      CheckThat(OpKind::kRmsNormBackward,
                !args.accumulate || args.dx.data != args.dy.data || args.dx.data == nullptr,
                "dx is dy's storage, so it cannot accumulate"));
  return Dispatch(context, args, cpu::RmsNormBackward, cuda::RmsNormBackward);
}

absl::Status RmsNormBackwardWeight(const OpContext& context,
                                   const RmsNormBackwardWeightArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      OpKind::kRmsNormBackwardWeight, {
                                          {"x", args.x, {BT, C}, kComputeDTypes},
                                          {"dy", args.dy, {BT, C}, dtype},
                                          {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                          {"dweight", args.dweight, {C}, AccumulatorDTypes(dtype)},
                                      }));
  return Dispatch(context, args, cpu::RmsNormBackwardWeight, cuda::RmsNormBackwardWeight);
}

}  // namespace tunesmith::trainer
