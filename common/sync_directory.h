#pragma once

#include <string>

#include "absl/status/status.h"

namespace tunesmith {

// Makes renames in a directory outlast a loss of power. OK also where the directory cannot be opened for it and where its file system, as some network file
// systems, does not know such a thing: the renames themselves have succeeded.
absl::Status SyncDirectory(const std::string& path);

}  // namespace tunesmith
