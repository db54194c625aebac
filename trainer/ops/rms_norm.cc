#include "trainer/ops/rms_norm.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/rms_norm_cpu.h"
#include "trainer/ops/rms_norm_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

namespace {

// As rows of C elements, however many lie in a row of the tensor.
Tensor AsRows(Tensor tensor, int64_t C) {
  if (C <= 0 || tensor.dims[1] % C != 0) return tensor;  // for the checks to name
  tensor.dims = {tensor.dims[0] * (tensor.dims[1] / C), C, 1};
  return tensor;
}

}  // namespace

absl::Status RmsNorm(const OpContext& context, const RmsNormArgs& given) {
  const int64_t C = given.weight.dims[0];
  RmsNormArgs args = given;
  args.x = AsRows(given.x, C);
  args.y = AsRows(given.y, C);
  const int64_t BT = args.x.dims[0];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kRmsNorm, {
                                         {"x", args.x, {BT, args.x.dims[1]}, kComputeDTypes},
                                         {"weight", args.weight, {args.x.dims[1]}, dtype},
                                         {"y", args.y, {BT, C}, dtype},
                                         {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                     }));
  return Dispatch(context, args, cpu::RmsNorm, cuda::RmsNorm);
}

absl::Status RmsNormBackward(const OpContext& context, const RmsNormBackwardArgs& given) {
  const int64_t C = given.weight.dims[0];
  RmsNormBackwardArgs args = given;
  args.x = AsRows(given.x, C);
  args.dy = AsRows(given.dy, C);
  args.dx = AsRows(given.dx, C);
  const int64_t BT = args.x.dims[0];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(OpKind::kRmsNormBackward,
                                         {
                                             {"x", args.x, {BT, args.x.dims[1]}, kComputeDTypes},
                                             {"dy", args.dy, {BT, args.x.dims[1]}, dtype},
                                             {"weight", args.weight, {args.x.dims[1]}, dtype},
                                             {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                             {"dx", args.dx, {BT, args.x.dims[1]}, dtype},
                                         }));
  TUNESMITH_RETURN_IF_ERROR(
      CheckThat(OpKind::kRmsNormBackward,
                !args.accumulate || args.dx.data != args.dy.data || args.dx.data == nullptr,
                "dx is dy's storage, so it cannot accumulate"));
  return Dispatch(context, args, cpu::RmsNormBackward, cuda::RmsNormBackward);
}

absl::Status RmsNormBackwardWeight(const OpContext& context,
                                   const RmsNormBackwardWeightArgs& given) {
  const int64_t C = given.dweight.dims[0];
  RmsNormBackwardWeightArgs args = given;
  args.x = AsRows(given.x, C);
  args.dy = AsRows(given.dy, C);
  const int64_t BT = args.x.dims[0];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kRmsNormBackwardWeight,
                   {
                       {"x", args.x, {BT, args.x.dims[1]}, kComputeDTypes},
                       {"dy", args.dy, {BT, args.x.dims[1]}, dtype},
                       {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                       {"dweight", args.dweight, {args.x.dims[1]}, AccumulatorDTypes(dtype)},
                   }));
  return Dispatch(context, args, cpu::RmsNormBackwardWeight, cuda::RmsNormBackwardWeight);
}

}  // namespace tunesmith::trainer
