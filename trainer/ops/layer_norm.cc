#include "trainer/ops/layer_norm.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/layer_norm_cpu.h"
#include "trainer/ops/layer_norm_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status LayerNorm(const OpContext& context, const LayerNormArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kLayerNorm, {
                                           {"x", args.x, {BT, C}, kComputeDTypes},
                                           {"weight", args.weight, {C}, dtype},
                                           {"y", args.y, {BT, C}, dtype},
                                           {"mean", args.mean, {BT}, StatisticsDType(dtype)},
                                           {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                       }));
  if (args.bias.data != nullptr)
    TUNESMITH_RETURN_IF_ERROR(CheckTensors(OpKind::kLayerNorm, {{"bias", args.bias, {C}, dtype}}));
  return Dispatch(context, args, cpu::LayerNorm, cuda::LayerNorm);
}

absl::Status LayerNormBackward(const OpContext& context, const LayerNormBackwardArgs& args) {
  constexpr OpKind kOp = OpKind::kLayerNormBackward;
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(kOp, {
                                                  {"x", args.x, {BT, C}, kComputeDTypes},
                                                  {"dy", args.dy, {BT, C}, dtype},
                                                  {"weight", args.weight, {C}, dtype},
                                                  {"mean", args.mean, {BT}, StatisticsDType(dtype)},
                                                  {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                                                  {"dx", args.dx, {BT, C}, dtype},
                                              }));
  TUNESMITH_RETURN_IF_ERROR(
      CheckThat(kOp, !args.accumulate || args.dx.data != args.dy.data || args.dx.data == nullptr,
                "dx is dy's storage, so it cannot accumulate"));
  return Dispatch(context, args, cpu::LayerNormBackward, cuda::LayerNormBackward);
}

absl::Status LayerNormBackwardWeight(const OpContext& context,
                                     const LayerNormBackwardWeightArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kLayerNormBackwardWeight,
                   {
                       {"x", args.x, {BT, C}, kComputeDTypes},
                       {"dy", args.dy, {BT, C}, dtype},
                       {"mean", args.mean, {BT}, StatisticsDType(dtype)},
                       {"rstd", args.rstd, {BT}, StatisticsDType(dtype)},
                       {"dweight", args.dweight, {C}, AccumulatorDTypes(dtype)},
                   }));
  return Dispatch(context, args, cpu::LayerNormBackwardWeight, cuda::LayerNormBackwardWeight);
}

}  // namespace tunesmith::trainer
