#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// How processes are started: without fork, since the starter may have threads.
namespace tunesmith {

struct ChildOptions {
  std::vector<std::string> arguments;    // the first is found on PATH, unless it has a slash
  std::vector<std::string> environment;  // "NAME=value", all of it
  std::string directory = {};            // where it runs; empty: where this process does
  // What become its stdin, stdout and stderr; -1: this process's own.
  int input = -1;
  int output = -1;
  int errors = -1;
  bool new_session = false;  // setsid
  bool new_group = false;    // its own process group
};

// Starts a process with no signal blocked and default signal handling; it is the caller's to wait for.
// NOT_FOUND or PERMISSION_DENIED name the binary that cannot be run. Thread-safe.
absl::StatusOr<pid_t> StartChild(const ChildOptions& options);

// This process's environment without the variables that begin with one of `hidden_prefixes`, and
// with `added` ("NAME=value"), which replace those of equal names.
std::vector<std::string> EnvironmentFor(const std::vector<std::string>& added,
                                        const std::vector<std::string>& hidden_prefixes = {});

// `strings` as exec takes them; they outlive it.
std::vector<char*> PointersTo(const std::vector<std::string>& strings);

// The exit status that a wait status tells of, or 128 + signal.
int ExitStatusOf(int wait_status);

}  // namespace tunesmith
