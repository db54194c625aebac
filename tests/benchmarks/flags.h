#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"

namespace tunesmith {

// Where the value of a flag goes.
using FlagValue = std::variant<std::string*, int*, int64_t*, uint64_t*, double*>;

// Reads "--name value" pairs. INVALID_ARGUMENT names the flag that is not known, has no value or wants a number.
absl::Status ReadFlags(const std::vector<std::string>& arguments,
                       const std::map<std::string, FlagValue>& flags);

}  // namespace tunesmith
