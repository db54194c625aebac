#include "common/sync_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/descriptor.h"
#include "common/str_cat.h"

namespace tunesmith {

absl::Status SyncDirectory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) == 0 || errno == EINVAL)
    return absl::OkStatus();
  return absl::UnavailableError(
      StrCat("cannot sync the directory ", path, ": ", std::strerror(errno)));
}

}  // namespace tunesmith
