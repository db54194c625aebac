#pragma once

#include "absl/status/status.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {

// Random weights (trainer/noise_weights.h) and plausible inputs, for programs that are timed: zeros would run faster than data. A document fills each row.
absl::Status FillWithData(trainer::Executor& executor);

}  // namespace tunesmith::profiler
