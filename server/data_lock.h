#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tunesmith::server {

// A lock on the data directory, held as long as the object lives and let go by the kernel when the
// process dies. Move-only.
class DataLock {
 public:
  // Creates the directory (mode 0700) where absent. FAILED_PRECONDITION naming the owner's process
  // id when another server holds it.
  static absl::StatusOr<DataLock> Acquire(const std::string& data_directory);
  DataLock(DataLock&& other) noexcept;
  DataLock& operator=(DataLock&&) = delete;
  ~DataLock();

 private:
  explicit DataLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace tunesmith::server
