#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// Communicators of `size` ranks that are threads of this process, by rank. They share what they need and may be destroyed in any order. A rank sums its
// own part straight from the others' memory, without copies. DEADLINE_EXCEEDED names the ranks that have not come to a call `time_limit` after another
// rank did; INTERNAL, that ranks have made different calls, and which.
std::vector<std::unique_ptr<Communicator>> MakeThreadCommunicators(
    int64_t size, std::chrono::milliseconds time_limit);

}  // namespace tunesmith::trainer
