#include "trainer/ops/linear.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/linear_cpu.h"
#include "trainer/ops/linear_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status Linear(const OpContext& context, const LinearArgs& args) {
  const int64_t BT = args.x.dims[0], I = args.x.dims[1], O = args.weight.dims[0];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kLinear, {
                                        {"x", args.x, {BT, I}, kComputeDTypes, true},
                                        {"weight", args.weight, {O, I}, dtype},
                                        {"y", args.y, {BT, O}, dtype},
                                    }));
  if (args.addend.data != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(
        CheckTensors(OpKind::kLinear, {{"addend", args.addend, {BT, O}, dtype}}));
  }
  return Dispatch(context, args, cpu::Linear, cuda::Linear);
}

absl::Status LinearBias(const OpContext& context, const LinearBiasArgs& args) {
  const int64_t BT = args.x.dims[0], I = args.x.dims[1], O = args.weight.dims[0];
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kLinearBias, {
                                            {"x", args.x, {BT, I}, kComputeDTypes},
                                            {"weight", args.weight, {O, I}, dtype},
                                            {"bias", args.bias, {O}, dtype},
                                            {"y", args.y, {BT, O}, dtype},
                                        }));
  if (args.addend.data != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(
        CheckTensors(OpKind::kLinearBias, {{"addend", args.addend, {BT, O}, dtype}}));
  }
  return Dispatch(context, args, cpu::LinearBias, cuda::LinearBias);
}

absl::Status LinearBackwardInput(const OpContext& context, const LinearBackwardInputArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1], I = args.weight.dims[1];
  const DType dtype = args.dy.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kLinearBackwardInput, {
                                                     {"dy", args.dy, {BT, O}, kComputeDTypes},
                                                     {"weight", args.weight, {O, I}, dtype},
                                                     {"dx", args.dx, {BT, I}, dtype, true},
                                                 }));
  return Dispatch(context, args, cpu::LinearBackwardInput, cuda::LinearBackwardInput);
}

absl::Status LinearBackwardWeight(const OpContext& context, const LinearBackwardWeightArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1], I = args.x.dims[1];
  const DType dtype = args.dy.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kLinearBackwardWeight,
                   {
                       {"dy", args.dy, {BT, O}, kComputeDTypes},
                       {"x", args.x, {BT, I}, dtype, true},
                       {"dweight", args.dweight, {O, I}, AccumulatorDTypes(dtype)},
                   }));
  return Dispatch(context, args, cpu::LinearBackwardWeight, cuda::LinearBackwardWeight);
}

absl::Status BiasBackward(const OpContext& context, const BiasBackwardArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1];
  const DType dtype = args.dy.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kBiasBackward, {
                                              {"dy", args.dy, {BT, O}, kComputeDTypes},
                                              {"dbias", args.dbias, {O}, AccumulatorDTypes(dtype)},
                                          }));
  return Dispatch(context, args, cpu::BiasBackward, cuda::BiasBackward);
}

}  // namespace tunesmith::trainer
