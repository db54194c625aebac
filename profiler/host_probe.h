#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "planner/price/calibration.h"

// What of a host concerns several ranks, and so is in no program of one.
namespace tunesmith::profiler {

// Resident memory of this process now, bytes; 0 where it cannot be told.
int64_t ResidentBytes();

// What all processors together read and write of memory that no cache holds, when each updates its own part: as ranks that share a host do. About a second.
double HostMemoryBytesPerSecond();

// Adds the rates of what ranks tell each other, for groups of two ranks and more and some sizes of what they tell, as threads of this process do. About a second, where there is memory for it. Errors as
// Communicator.
absl::Status ProbeCollectives(planner::Calibration& calibration);

}  // namespace tunesmith::profiler
