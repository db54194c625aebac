#include "planner/answer/predict.h"

#include "common/status_macros.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"

namespace tunesmith::planner {
namespace {

// Until a calibration says better. CPU: binary, libraries, tokenizer and data of the trainer's process. GPU: CUDA context and kernels (226 MiB on
// an L4, 501 MiB on an A100, measured by others with PyTorch) and the trainer's 64 MiB of library workspace and scratch.
constexpr int64_t kCpuOutsideArenaBytes = 256 * kMiB;
constexpr int64_t kGpuOutsideArenaBytes = 640 * kMiB;

MemoryPrediction MemoryOf(const Program& program, const DeviceMemoryBudget& budget) {
  MemoryPlan plan = PlanMemory(program);
  return {.arena_bytes = plan.arena_bytes,
          .outside_arena_bytes = budget.outside_arena_bytes,
          .total_bytes = plan.arena_bytes + budget.outside_arena_bytes,
          .budget_bytes = budget.budget_bytes,
          .class_bytes = plan.class_bytes,
          .binding_instant = std::move(plan.binding_instant)};
}

double Seconds(int64_t picoseconds) { return static_cast<double>(picoseconds) * 1e-12; }

TimePrediction TimeOf(const Program& program, const Question& question, const PriceTable& prices) {
  const StepPrice price = PriceStep(program, prices);
  const bool cpu = question.devices.hardware.compute_capability == 0;
  const double assumed = cpu ? kUnprobedCpuRelativeError : kDatasheetRelativeError;
  const double error = prices.calibrated() ? prices.calibration().relative_error : assumed;
  TimePrediction time{.step_picoseconds = price.step_picoseconds,
                      .step_seconds = Seconds(price.step_picoseconds)};
  time.low_seconds = time.step_seconds * (1 - error);
  time.high_seconds = time.step_seconds * (1 + error);
  time.compute_seconds = Seconds(price.compute_picoseconds);
  time.communication_seconds = time.exposed_communication_seconds =
      Seconds(price.communication_picoseconds);
  const Workload& w = question.workload;
  time.tokens_per_second = static_cast<double>(w.rows_per_step * w.context) / time.step_seconds;
  time.total_hours =
      static_cast<double>(w.dataset_token_count) * w.epoch_count / time.tokens_per_second / 3600;
  time.evidence = prices.calibrated() ? Evidence::kMeasuredHere : Evidence::kDatasheet;
  return time;
}

}  // namespace

DeviceMemoryBudget BudgetOf(const Question& question) {
  const Hardware& h = question.devices.hardware;
  const int64_t assumed = h.compute_capability > 0 ? kGpuOutsideArenaBytes : kCpuOutsideArenaBytes;
  const int64_t measured = question.calibration.outside_arena_bytes;
  return {.budget_bytes =
              question.memory_budget_bytes > 0 ? question.memory_budget_bytes : h.memory_bytes,
          .outside_arena_bytes = measured > 0 ? measured : assumed};
}

absl::StatusOr<Prediction> Predict(const Question& question, const Mix& mix,
                                   const PriceTable& prices, const DeviceMemoryBudget& budget) {
  TUNESMITH_ASSIGN_OR_RETURN(const Program program, BuildProgram(InputsFor(question, mix)));
  Prediction p{.mix = mix};
  p.memory = MemoryOf(program, budget);
  p.fits = p.memory.total_bytes <= p.memory.budget_bytes;
  p.time = TimeOf(program, question, prices);
  p.program_digest = ProgramDigest(program);
  return p;
}

}  // namespace tunesmith::planner
