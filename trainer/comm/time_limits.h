#pragma once

#include <chrono>

#include "absl/status/statusor.h"
#include "trainer/comm/rank_table.h"

namespace tunesmith::trainer {

// How long ranks wait for each other.
struct TimeLimits {
  std::chrono::milliseconds start{120'000};  // for every rank to join
  std::chrono::milliseconds call{
      1'800'000};  // for a rank that lives and does not come: as long as the first rank may take to write a checkpoint
};

// TUNESMITH_START_TIMEOUT_SECONDS and TUNESMITH_RANK_TIMEOUT_SECONDS of the environment, where they are set. INVALID_ARGUMENT names a value that is no
// positive number.
absl::StatusOr<TimeLimits> TimeLimitsOf(const Environment& environment);

}  // namespace tunesmith::trainer
