#include "trainer/ops/adamw.h"

#include "common/status_macros.h"
#include "trainer/ops/adamw_cpu.h"
#include "trainer/ops/adamw_cuda.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status AdamW(const OpContext& context, const AdamWArgs& args) {
  const Dims dims = DimsOf(args.parameter);
  const DTypeSet accumulators = AccumulatorDTypes(args.parameter.dtype);
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      OpKind::kAdamW,
      {
          {"parameter", args.parameter, dims, kComputeDTypes},
          {"gradient", args.gradient, dims, accumulators},
          {"moment1", args.moment1, dims, accumulators},
          {"moment2", args.moment2, dims, args.moment1.dtype},
          {"clip_factor", args.clip_factor, {1}, kScalarDTypes},
          {"step_scalars", args.step_scalars, {planner::kStepScalarCount}, kScalarDTypes},
      }));
  if (args.master.data != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(CheckTensors(
        OpKind::kAdamW, {{"master", args.master, dims, StatisticsDType(args.parameter.dtype)}}));
  }
  return Dispatch(context, args, cpu::AdamW, cuda::AdamW);
}

}  // namespace tunesmith::trainer
