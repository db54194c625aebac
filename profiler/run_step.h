#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {

// Seconds of a clock that never goes back.
double MonotonicSeconds();

// One optimizer step of the executor's program, with all of its micro-batches, until the device is done: seconds.
absl::StatusOr<double> RunStep(trainer::Executor& executor);

// Its first micro-batch alone: pages, caches, library set-up. On a GPU one of each kind and the optimizer: a kernel is loaded when it is launched first, between the events that time its op.
absl::Status WarmUp(trainer::Executor& executor);

}  // namespace tunesmith::profiler
