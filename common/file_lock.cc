#include "common/file_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/str_cat.h"

namespace tunesmith {
namespace {

// Of the open file description, not of the process: threads exclude each other too, and closing another descriptor of the file does not let go.
struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Take(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, StrCat("cannot open ", path));
  struct flock wanted = WholeFile();
  if (fcntl(file.get(), F_OFD_SETLK, &wanted) == 0) return FileLock(std::move(file));
  if (errno == EAGAIN || errno == EACCES)
    return absl::FailedPreconditionError(StrCat(path, " is held by another process"));
  return absl::ErrnoToStatus(errno, StrCat("cannot lock ", path));
}

absl::Status FileLock::Write(std::string_view text) {
  const auto size = static_cast<ssize_t>(text.size());
  if (ftruncate(file_.get(), 0) == 0 && pwrite(file_.get(), text.data(), text.size(), 0) == size)
    return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot write into a lock file");
}

bool IsFileLocked(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return false;
  struct flock asked = WholeFile();
  return fcntl(file.get(), F_OFD_GETLK, &asked) == 0 && asked.l_type != F_UNLCK;
}

}  // namespace tunesmith
