#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "planner/program/program.h"
#include "profiler/kept_samples.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::profiler {

// Runs whole steps of a program with every op timed (on GPUs by turns with steps whose ops are not, which timing disturbs a little), after a micro-batch to warm up: until the monotonic clock
// (MonotonicSeconds) reads `until`, at least two. Where other work took processors meanwhile it goes on, at most as long again, for steps that had them; what others disturbed counts only where
// there is nothing better. RESOURCE_EXHAUSTED where it does not fit; otherwise errors as Executor.
absl::StatusOr<Sample> ProbeProgram(const std::shared_ptr<const planner::Program>& program,
                                    const trainer::OpContext& context, double until);

struct Round {
  double step_seconds = 0;
  double waited_share = 0;  // of the threads' time that other work took
  OpStatistics ops;
};

// The rounds that count: those that others hardly disturbed, else the two that were disturbed least.
std::vector<Round> QuietRounds(std::vector<Round> rounds);

}  // namespace tunesmith::profiler
