#pragma once

#include <sys/types.h>

#include <cstdint>

namespace tunesmith::server {

// What a process takes of its host, from /proc; zeros when it has ended.
struct ProcessUse {
  int64_t resident_bytes = 0;
  int64_t open_file_count = 0;
  int64_t thread_count = 0;
};

ProcessUse UseOf(pid_t pid);

}  // namespace tunesmith::server
