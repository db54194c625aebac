#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace tunesmith {

// The time by a clock that nobody sets: absl::Now() may go back, or jump ahead, when somebody does. For how long ago something was in this
// process; compares only with other times of this function.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace tunesmith
