#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"

namespace tunesmith::server {

// `status` with an ErrorInfo whose reason (UPPER_SNAKE_CASE) and changing parts programs can read.
// An OK status stays as it is. Without this, the reason is the code's name.
absl::Status WithReason(absl::Status status, const std::string& reason,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace tunesmith::server
