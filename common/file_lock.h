#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/descriptor.h"

namespace tunesmith {

// A file that at most one holder has at a time. The kernel lets go when the holder ends, however it ends, so that whoever asks whether the file is held asks whether
// the holder lives. Move-only.
class FileLock {
 public:
  // Creates the file where it is absent. FAILED_PRECONDITION: another has it. Otherwise errors of opening it.
  static absl::StatusOr<FileLock> Take(const std::string& path);

  // Replaces what the file holds, for people who look who has it.
  absl::Status Write(std::string_view text);

 private:
  explicit FileLock(Descriptor file) : file_(std::move(file)) {}

  Descriptor file_;
};

// Whether somebody holds the file; false where there is none. Asking disturbs nobody who is about to take it.
bool IsFileLocked(const std::string& path);

}  // namespace tunesmith
