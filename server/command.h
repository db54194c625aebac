#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// Commands that are run to their end: a cluster's own tools.
namespace tunesmith::server {

struct CommandOptions {
  std::vector<std::string> arguments;  // the first is found on PATH
  std::string input;                   // what it reads from stdin, at most 64 KiB
  std::string directory;               // where it runs; empty: where this process does
  std::string
      hidden_prefix;  // variables of this process that begin so are kept from it; empty: none
  absl::Duration timeout = absl::Seconds(20);
};

struct CommandResult {
  int status = 0;  // exit status, or 128 + signal
  std::string output;
  std::string errors;
};

// Runs a command and takes what it writes. NOT_FOUND: there is none of that name; UNAVAILABLE: it took
// longer than its time and was killed. Thread-safe; blocks for at most the time that is given.
absl::StatusOr<CommandResult> RunCommand(const CommandOptions& options);

// The first line that is not empty, for messages.
std::string FirstLine(const std::string& text);

}  // namespace tunesmith::server
