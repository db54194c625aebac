#include "common/environment_flag.h"

#include <cstdlib>
#include <string>

#include "common/str_cat.h"

namespace tunesmith {

absl::StatusOr<bool> FlagOfEnvironment(const char* variable, bool default_value) {
  const char* const set = std::getenv(variable);
  const std::string value = set == nullptr ? "" : set;
  if (value.empty()) return default_value;
  if (value == "0" || value == "1") return value == "1";
  return absl::InvalidArgumentError(
      StrCat(variable, " is '", value, "'; set it to 1 for on or 0 for off, or leave it out"));
}

}  // namespace tunesmith
