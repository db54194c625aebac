#pragma once

#include <string>

namespace tunesmith::client {

// The same value as a YAML 1.2 document in block style, its members in the order in which they stand; ends in a newline. Text that another type could be read
// from ("12", "no") is quoted.
// REQUIRES: `json` is valid JSON.
std::string YamlOfJson(const std::string& json);

}  // namespace tunesmith::client
