#pragma once

#include "absl/status/statusor.h"

namespace tunesmith {

// A switch that people set in the environment: "1" is on, "0" off, empty or unset the default. INVALID_ARGUMENT naming the variable for anything else.
absl::StatusOr<bool> FlagOfEnvironment(const char* variable, bool default_value);

}  // namespace tunesmith
