#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// What the ranks of a job know and nobody else: the file `path`, which all of them see and only its owner can read, with 32 random bytes in hexadecimal. Rank 0
// makes it where there is none; the others wait for it at most so long.
//
// PERMISSION_DENIED: others may read it, with the cure. DEADLINE_EXCEEDED: it did not come, with what that may mean. INVALID_ARGUMENT: it is no such file.
absl::StatusOr<std::string> ShareRankSecret(const std::string& path, int64_t rank,
                                            std::chrono::milliseconds limit);

}  // namespace tunesmith::trainer
