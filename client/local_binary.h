#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tunesmith::client {

// Where another of Tunesmith's binaries ("tunesmith-trainer") is: beside this one, or in $TUNESMITH_BIN_DIR.
std::string LocalBinaryPath(const std::string& name);

// Becomes another of them: its output and exit status are the
// command's. Returns an exit status, having said why, where it cannot be started.
int BecomeBinary(const std::string& name, const std::vector<std::string>& arguments);

// Runs one of them to its end; what it wrote to stdout. Its stderr is this process's. FAILED_PRECONDITION with its exit status where that is not 0.
absl::StatusOr<std::string> RunBinary(const std::string& name,
                                      const std::vector<std::string>& arguments);

}  // namespace tunesmith::client
