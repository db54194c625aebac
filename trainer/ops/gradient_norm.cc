#include "trainer/ops/gradient_norm.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/gradient_norm_cpu.h"
#include "trainer/ops/gradient_norm_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status SumSquares(const OpContext& context, const SumSquaresArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kSumSquares, {
                                            {"x", args.x, DimsOf(args.x), kComputeDTypes},
                                            {"sum", args.sum, {1}, DType::kF64},
                                        }));
  return Dispatch(context, args, cpu::SumSquares, cuda::SumSquares);
}

absl::Status ClipFactor(const OpContext& context, const ClipFactorArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      OpKind::kClipFactor,
      {
          {"sum", args.sum, {1}, DType::kF64},
          {"step_scalars", args.step_scalars, {planner::kStepScalarCount}, kScalarDTypes},
          {"clip_factor", args.clip_factor, {1}, kScalarDTypes},
          {"gradient_norm", args.gradient_norm, {1}, kScalarDTypes},
      }));
  return Dispatch(context, args, cpu::ClipFactor, cuda::ClipFactor);
}

}  // namespace tunesmith::trainer
