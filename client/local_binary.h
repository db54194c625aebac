#pragma once

#include <string>
#include <vector>

namespace tunesmith::client {

// Becomes another of Tunesmith's binaries ("tunesmith-trainer"), which lies beside this one or in $TUNESMITH_BIN_DIR: its output and exit status are the
// command's. Returns an exit status, having said why, where it cannot be started.
int BecomeBinary(const std::string& name, const std::vector<std::string>& arguments);

}  // namespace tunesmith::client
