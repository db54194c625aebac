#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Processes of the Linux host: started without fork (the server has threads), and recognized again
// after a restart. Process ids are used again by the kernel, so a process is named by its id
// together with its start time.
namespace tunesmith::server {

// Clock ticks from boot to the start of process `pid` (field 22 of /proc/<pid>/stat). NOT_FOUND
// when there is no such process, or when it ended and only waits to be reaped; another error: it cannot be told.
absl::StatusOr<int64_t> StartTicks(int64_t pid);

// The process runs and is the one that started then, or it cannot be told: what is not known to have ended has not.
bool IsAlive(int64_t pid, int64_t start_ticks);

// Sends a signal to the process, or to the group that it leads. Does nothing unless it is known to be alive.
void SignalProcess(int64_t pid, int64_t start_ticks, int signal);
void SignalGroup(int64_t pid, int64_t start_ticks, int signal);

struct SpawnOptions {
  std::vector<std::string> arguments;  // the first is the path of the binary
  std::vector<std::string>
      environment;           // "NAME=value", added to this process's own, replacing equal names
  std::string output_path;   // stdout and stderr are appended here
  bool new_session = false;  // setsid
  bool new_group = false;    // its own process group
  // The kernel kills it (SIGKILL) when this process ends. REQUIRES: this process has one thread.
  bool dies_with_parent = false;
};

// Starts a process with stdin from /dev/null, no signal blocked and default signal handling.
// NOT_FOUND or PERMISSION_DENIED name the binary that cannot be run, or the output that cannot be written.
absl::StatusOr<pid_t> Spawn(const SpawnOptions& options);

// What process ids are unique in, as text: this boot of this host, and the namespace of process ids (a container has its own). Empty: /proc does not tell.
std::string ProcessSpace();

// The processes whose parent is `pid`, those that have ended and wait to be reaped included.
std::vector<pid_t> ChildrenOf(pid_t pid);

// "9 (SIGKILL)".
std::string SignalName(int signal);

}  // namespace tunesmith::server
