#include "trainer/ops/update_checks.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"

namespace tunesmith::trainer {

absl::Status CheckUpdate(planner::OpKind op, const UpdateTensors& t, bool rounds_stochastically) {
  const Dims dims = DimsOf(t.parameter);
  const DType dtype = t.parameter.dtype;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      op, {
              {"parameter", t.parameter, dims, kComputeDTypes},
              {"gradient", t.gradient, dims, AccumulatorDTypes(dtype)},
              {"clip_factor", t.clip_factor, {1}, kScalarDTypes},
              {"step_scalars", t.step_scalars, {planner::kStepScalarCount}, kScalarDTypes},
          }));
  const bool has_master = t.master.data != nullptr;
  if (has_master) {
    TUNESMITH_RETURN_IF_ERROR(
        CheckTensors(op, {{"master", t.master, dims, StatisticsDType(dtype)}}));
  }
  if (!rounds_stochastically && (has_master || dtype != DType::kBF16)) return absl::OkStatus();
  return CheckTensors(op, {{"step_key", t.step_key, {1}, DType::kU64}});
}

}  // namespace tunesmith::trainer
