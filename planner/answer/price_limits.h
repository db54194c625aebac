#pragma once

#include "absl/status/status.h"
#include "planner/answer/search.h"

namespace tunesmith::planner {

// No fewer than a step of any mix of the question takes: from the most work that any mix does and the lowest rate that the hardware and the
// calibration name. Formed in floating point, so that it cannot overflow; infinite where a rate is 0. REQUIRES: as CheckStepTime.
double MostStepSeconds(const Question& question);

// Prices are integer picoseconds in 63 bits, which hold 9.2 million seconds. INVALID_ARGUMENT, with the amounts, when a step of some mix of
// the question might take longer than 9 million (104 days).
// REQUIRES: model, workload, devices and calibration passed their own validation.
absl::Status CheckStepTime(const Question& question);

}  // namespace tunesmith::planner
