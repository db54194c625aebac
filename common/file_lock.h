#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tunesmith {

// A file that at most one holder has at a time. The kernel lets go when the holder ends, however it ends, so that whoever asks whether the file is held asks whether
// the holder lives. Move-only.
class FileLock {
 public:
  // Creates the file where it is absent. FAILED_PRECONDITION: another has it. Otherwise errors of opening it.
  static absl::StatusOr<FileLock> Take(const std::string& path);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_ = -1;
};

// Whether somebody holds the file; false where there is none. Asking disturbs nobody who is about to take it.
bool IsFileLocked(const std::string& path);

}  // namespace tunesmith
