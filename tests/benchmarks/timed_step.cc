#include "tests/benchmarks/timed_step.h"

#include <chrono>
#include <utility>

#include "common/median.h"
#include "common/status_macros.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"

namespace tunesmith {
namespace {

using planner::SegmentKind;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool IsOfAStep(SegmentKind kind) {
  return kind == SegmentKind::kMicroFirst || kind == SegmentKind::kMicroMiddle ||
         kind == SegmentKind::kMicroLast || kind == SegmentKind::kOptimizer;
}

}  // namespace

absl::StatusOr<TimedStep> TimedStep::Open(const planner::ProgramInputs& inputs,
                                          const trainer::OpContext& context) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, planner::BuildProgram(inputs));
  TUNESMITH_ASSIGN_OR_RETURN(auto executor,
                             trainer::Executor::Create(std::move(program), context, {}));
  TUNESMITH_RETURN_IF_ERROR(profiler::FillWithData(*executor));
  TimedStep step(std::move(executor));
  TUNESMITH_RETURN_IF_ERROR(step.Run());
  step.seconds_.clear();
  return step;
}

absl::Status TimedStep::Run() {
  const double start = Now();
  for (const planner::Segment& segment : executor_->program().segments) {
    for (int64_t i = 0; IsOfAStep(segment.kind) && i < segment.repeat_count; ++i)
      TUNESMITH_RETURN_IF_ERROR(executor_->Run(segment.kind));
  }
  seconds_.push_back(Now() - start);
  return absl::OkStatus();
}

double TimedStep::median_seconds() const { return Median(seconds_); }

}  // namespace tunesmith
