#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tunesmith {

// "8h", "2d", "1d12h", "90m", "1h30m", "3600s": seconds, above 0. INVALID_ARGUMENT names the text and what would be accepted.
absl::StatusOr<double> ParseDurationSeconds(const std::string& text);

}  // namespace tunesmith
