#include "trainer/ops/adamw.h"

#include "common/status_macros.h"
#include "common/units.h"
#include "trainer/ops/adamw_cpu.h"
#include "trainer/ops/adamw_cuda.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/update_checks.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

DTypeSet MomentDTypes(DType parameter) {
  if (parameter == DType::kF64) return DType::kF64;
  return DTypeSet(DType::kF32) | DType::kBF16 | DType::kU8;
}

absl::Status CheckMoments(const AdamWArgs& args) {
  const Dims dims = DimsOf(args.parameter);
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      OpKind::kAdamW, {
                          {"moment1", args.moment1, dims, MomentDTypes(args.parameter.dtype)},
                          {"moment2", args.moment2, dims, args.moment1.dtype},
                      }));
  if (args.moment1.dtype != DType::kU8) return absl::OkStatus();
  const Dims blocks = {CeilDivide(args.parameter.element_count(), planner::kStateBlockSize)};
  return CheckTensors(OpKind::kAdamW,
                      {
                          {"moment1_scale", args.moment1_scale, blocks, DType::kF32},
                          {"moment2_scale", args.moment2_scale, blocks, DType::kF32},
                      });
}

}  // namespace

absl::Status AdamW(const OpContext& context, const AdamWArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckUpdate(OpKind::kAdamW,
                                        {.gradient = args.gradient,
                                         .clip_factor = args.clip_factor,
                                         .step_scalars = args.step_scalars,
                                         .step_key = args.step_key,
                                         .parameter = args.parameter,
                                         .master = args.master},
                                        args.moment1.dtype == DType::kBF16));
  TUNESMITH_RETURN_IF_ERROR(CheckMoments(args));
  return Dispatch(context, args, cpu::AdamW, cuda::AdamW);
}

}  // namespace tunesmith::trainer
