#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tunesmith {

// The contents of a file that holds a secret: a key, a token. PERMISSION_DENIED, with the cure, where others than its owner and group may
// read it or others than its owner may write it; other errors as ReadFile.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path);

}  // namespace tunesmith
