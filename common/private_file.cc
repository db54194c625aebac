#include "common/private_file.h"

#include <sys/stat.h>

#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

// A group may read: secrets that Kubernetes mounts, and keys that belong to a group of services, are so.
constexpr mode_t kTooOpen = S_IWGRP | S_IRWXO;

}  // namespace

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & kTooOpen) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s holds a secret, and its mode is %04o: other users may read or change "
                        "it; run: chmod 600 %s",
                        path, info.st_mode & 07777, path));
  }
  return ReadFile(path);
}

}  // namespace tunesmith
