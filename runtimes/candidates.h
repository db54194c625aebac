#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "runtimes/search.h"

namespace tunesmith::runtimes {

// Every mix that answers the question and that the runtime can do, in a fixed order. INVALID_ARGUMENT if there is none: what is wrong with the
// pinned axes, and what comes nearest.
absl::StatusOr<std::vector<RunSetup>> CandidateSetups(const RuntimeQuestion& question);

}  // namespace tunesmith::runtimes
