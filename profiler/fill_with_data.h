#pragma once

#include "absl/status/status.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {

// Small random numbers in every weight and plausible inputs, for programs that are timed: zeros would run faster than data. Moments keep their
// values.
absl::Status FillWithData(trainer::Executor& executor);

}  // namespace tunesmith::profiler
