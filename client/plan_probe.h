#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "tunesmith/v1/plan.pb.h"

namespace tunesmith::client {

// Runs a step of the plan on this host, by tunesmith-profiler, and says in one line how long it took beside what was predicted. FAILED_PRECONDITION with what the
// profiler said where it did not go.
absl::StatusOr<std::string> ProbePlan(const v1::Plan& plan);

}  // namespace tunesmith::client
