#include "profiler/run_step.h"

#include <chrono>

#include "common/status_macros.h"

namespace tunesmith::profiler {
namespace {

using planner::Segment;

bool RunsInStep(const Segment& segment) {
  return segment.repeat_count > 0 && planner::IsOfStep(segment.kind);
}

}  // namespace

double MonotonicSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::StatusOr<double> RunStep(trainer::Executor& executor) {
  const double start = MonotonicSeconds();
  for (const Segment& segment : executor.program().segments) {
    if (!RunsInStep(segment)) continue;
    for (int64_t i = 0; i < segment.repeat_count; ++i)
      TUNESMITH_RETURN_IF_ERROR(executor.Run(segment.kind));
  }
  TUNESMITH_RETURN_IF_ERROR(executor.Synchronize());
  return MonotonicSeconds() - start;
}

absl::Status WarmUp(trainer::Executor& executor) {
  const bool gpu = executor.context().device == planner::BackendKind::kCuda;
  for (const Segment& segment : executor.program().segments) {
    if (!RunsInStep(segment)) continue;
    TUNESMITH_RETURN_IF_ERROR(executor.Run(segment.kind));
    if (!gpu) break;
  }
  return executor.Synchronize();
}

}  // namespace tunesmith::profiler
