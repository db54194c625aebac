#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtimes/setup.h"

// Which of the versions that were looked at stands for those that are installed.
namespace tunesmith::runtimes {

struct VersionChoice {
  StackVersion version = StackVersion::kTransformers448;
  bool known = true;      // inside the range that was looked at; else intervals are wider
  std::string note = {};  // where not: which version, and what is taken instead
};

// Texts such as "4.46.1"; empty: not said, the newest that is known well is taken. INVALID_ARGUMENT for a text that is no version.
absl::StatusOr<VersionChoice> ChooseVersion(std::string_view transformers, std::string_view torch);

}  // namespace tunesmith::runtimes
