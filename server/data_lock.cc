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

}  // namespace

absl::StatusOr<FileLock> LockDataDirectory(const std::string& data_directory) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(data_directory));
  chmod(data_directory.c_str(), 0700);
  const std::string path = convert::InDirectory(data_directory, convert::kLockFile);
  absl::StatusOr<FileLock> lock = FileLock::Take(path);
  if (absl::IsFailedPrecondition(lock.status())) return HeldByAnother(data_directory, path);
  // For people and for the message above only; the lock is what counts.
  if (lock.ok()) TUNESMITH_RETURN_IF_ERROR(lock->Write(StrCat(getpid())));
  return lock;
}

}  // namespace tunesmith::server
