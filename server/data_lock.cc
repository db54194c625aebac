#include "server/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

absl::StatusOr<DataLock> DataLock::Acquire(const std::string& data_directory) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(data_directory));
  chmod(data_directory.c_str(), 0700);
  const std::string path = convert::InDirectory(data_directory, convert::kLockFile);
  DataLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return absl::ErrnoToStatus(errno, StrCat("cannot open ", path));
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return HeldByAnother(data_directory, path);
    return absl::ErrnoToStatus(errno, StrCat("cannot lock ", path));
  }
  // For people and for the message above only; the lock is what counts.
  const std::string owner = StrCat(getpid());
  if (ftruncate(lock.fd_, 0) != 0 || write(lock.fd_, owner.data(), owner.size()) < 0) {
    return absl::ErrnoToStatus(errno, StrCat("cannot write ", path));
  }
  return lock;
}

DataLock::DataLock(DataLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DataLock::~DataLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace tunesmith::server
