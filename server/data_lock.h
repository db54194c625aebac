#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/file_lock.h"

namespace tunesmith::server {

// A lock on the data directory, held as long as the object lives and let go by the kernel when the
// process dies. Creates the directory (mode 0700) where absent; takes rights of others than its owner and group away. FAILED_PRECONDITION naming the
// owner's process id when another server holds it.
absl::StatusOr<FileLock> LockDataDirectory(const std::string& data_directory);

}  // namespace tunesmith::server
