#include "profiler/probe_plan.h"

#include <chrono>
#include <vector>

#include "common/median.h"
#include "common/status_macros.h"
#include "planner/answer/candidates.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {
namespace {

using planner::SegmentKind;

constexpr size_t kMostSteps = 3;
constexpr double kPatienceSeconds = 20;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool IsOfAMicroBatch(SegmentKind kind) {
  return kind == SegmentKind::kMicroFirst || kind == SegmentKind::kMicroMiddle ||
         kind == SegmentKind::kMicroLast;
}

absl::Status WarmUp(trainer::Executor& executor) {
  for (const planner::Segment& segment : executor.program().segments) {
    if (!IsOfAMicroBatch(segment.kind) || segment.repeat_count == 0) continue;
    TUNESMITH_RETURN_IF_ERROR(executor.Run(segment.kind));
    break;
  }
  return executor.Synchronize();
}

absl::Status RunStep(trainer::Executor& executor) {
  for (const planner::Segment& segment : executor.program().segments) {
    if (!IsOfAMicroBatch(segment.kind) && segment.kind != SegmentKind::kOptimizer) continue;
    for (int64_t i = 0; i < segment.repeat_count; ++i)
      TUNESMITH_RETURN_IF_ERROR(executor.Run(segment.kind));
  }
  return executor.Synchronize();
}

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
  const double end = Now() + kPatienceSeconds;
  do {
    const double start = Now();
    TUNESMITH_RETURN_IF_ERROR(RunStep(*executor));
    seconds.push_back(Now() - start);
  } while (seconds.size() < kMostSteps && Now() < end);
  return PlanProbe{.step_seconds = Median(seconds),
                   .step_count = static_cast<int64_t>(seconds.size()),
                   .arena_bytes = executor->arena().plan().device_bytes()};
}

}  // namespace tunesmith::profiler
