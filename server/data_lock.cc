#include "server/data_lock.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {
namespace {

absl::Status HeldByAnother(const std::string& data_directory, const std::string& path) {
  const std::string owner = ReadFile(path).value_or("");
  return absl::FailedPreconditionError(StrCat(
      "another tunesmithd", owner.empty() ? "" : StrCat(" (process ", owner, ")"),
      " uses the data directory ", data_directory, "; stop it or choose another --data-dir"));
}

// Whoever made the directory may have given rights to its group, as systemd does.
void CloseToOthers(const std::string& directory, bool is_new) {
  struct stat info = {};
  if (stat(directory.c_str(), &info) != 0) return;
  const mode_t kept = is_new ? S_IRWXU : info.st_mode & ~mode_t{S_IRWXO} & ~mode_t{S_IFMT};
  chmod(directory.c_str(), kept);
}

}  // namespace

absl::StatusOr<FileLock> LockDataDirectory(const std::string& data_directory) {
  const bool is_new = access(data_directory.c_str(), F_OK) != 0;
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(data_directory));
  CloseToOthers(data_directory, is_new);
  const std::string path = convert::InDirectory(data_directory, convert::kLockFile);
  absl::StatusOr<FileLock> lock = FileLock::Take(path);
  if (absl::IsFailedPrecondition(lock.status())) return HeldByAnother(data_directory, path);
  // For people and for the message above only; the lock is what counts.
  if (lock.ok()) TUNESMITH_RETURN_IF_ERROR(lock->Write(StrCat(getpid())));
  return lock;
}

}  // namespace tunesmith::server
