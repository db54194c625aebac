#include "server/security/connections.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "common/steady_time.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(100);
// Jobs inherit the limit, and some programs walk through all files that they may have open.
constexpr rlim_t kMostOpenFiles = 65536;

ino_t SocketOf(int descriptor) {
  struct stat info = {};
  return fstat(descriptor, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

int64_t OpenFileLimit() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int64_t>(std::min(limit.rlim_cur, kMostOpenFiles));
}

}  // namespace

Connections::Connections(int64_t limit) : limit_(limit > 0 ? limit : OpenFileLimit() / 4 * 3) {}

bool Connections::Admit(int descriptor) {
  const ino_t socket = SocketOf(descriptor);
  std::lock_guard lock(mutex_);
  sockets_.erase(descriptor);  // whoever had the number before is gone
  if (static_cast<int64_t>(sockets_.size()) >= limit_) Forget();
  if (static_cast<int64_t>(sockets_.size()) >= limit_) return false;
  sockets_[descriptor] = socket;
  return true;
}

void Connections::Forget() {
  const absl::Time now = SteadyNow();
  if (now < next_look_) return;
  next_look_ = now + kLookInterval;
  std::erase_if(sockets_, [](const auto& entry) { return SocketOf(entry.first) != entry.second; });
}

void RaiseOpenFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kMostOpenFiles));
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace tunesmith::server
