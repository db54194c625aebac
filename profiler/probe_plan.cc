#include "profiler/probe_plan.h"

#include <vector>

#include "common/median.h"
#include "common/status_macros.h"
#include "planner/answer/candidates.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "profiler/run_step.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {
namespace {

constexpr size_t kMostSteps = 3;
constexpr double kPatienceSeconds = 20;

}  // namespace

absl::StatusOr<PlanProbe> ProbePlan(const convert::Plan& plan, const trainer::OpContext& context) {
  const planner::Mix& mix = plan.prediction.mix;
  if (planner::RankCount(mix) > 1)
    return absl::UnimplementedError(
        "a probe runs one rank; this plan has several: leave --probe out");
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program,
                             planner::BuildProgram(planner::InputsFor(plan.question, mix)));
  TUNESMITH_ASSIGN_OR_RETURN(const auto executor,
                             trainer::Executor::Create(std::move(program), context, {}));
  TUNESMITH_RETURN_IF_ERROR(FillWithData(*executor));
  TUNESMITH_RETURN_IF_ERROR(WarmUp(*executor));
  std::vector<double> seconds;
  const double end = MonotonicSeconds() + kPatienceSeconds;
  do {
    TUNESMITH_ASSIGN_OR_RETURN(seconds.emplace_back(), RunStep(*executor));
  } while (seconds.size() < kMostSteps && MonotonicSeconds() < end);
  return PlanProbe{.step_seconds = Median(seconds),
                   .step_count = static_cast<int64_t>(seconds.size()),
                   .arena_bytes = executor->arena().plan().device_bytes()};
}

}  // namespace tunesmith::profiler
