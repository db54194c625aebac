#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>

#include "absl/time/time.h"

namespace tunesmith::server {

// How many connections there may be at once. gRPC closes them and tells nobody: the ones that are gone are found by looking at their
// descriptors, ten times a second at most and only when there seem to be too many. Thread-safe.
class Connections {
 public:
  // `limit` 0: three quarters of the files that this process may have open; the others are for logs, checkpoints and the database.
  explicit Connections(int64_t limit);

  // Whether one more may be. It counts from now on, until its descriptor is closed.
  bool Admit(int descriptor);

  int64_t limit() const { return limit_; }

 private:
  void Forget();  // REQUIRES: mutex_ held

  const int64_t limit_;
  std::mutex mutex_;
  std::map<int, ino_t> sockets_;  // by descriptor, which the kernel gives again
  absl::Time next_look_ = absl::InfinitePast();
};

// Of the files that the system lets this process have open, by default it has a small part: at most 65536 from now on.
void RaiseOpenFileLimit();

}  // namespace tunesmith::server
