#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// Commands that are run to their end.
namespace tunesmith {

struct CommandOptions {
  std::vector<std::string> arguments;  // the first is found on PATH, unless it has a slash
  std::string input;                   // what it reads from stdin, at most 64 KiB
  std::string directory;               // where it runs; empty: where this process does
  std::vector<std::string>
      hidden_prefixes;  // variables of this process that begin so are kept from it
  // One that takes longer is killed, with what it has started. Infinite: it is waited for, and what a terminal
  // sends to this process (Ctrl-C) reaches it too.
  absl::Duration timeout = absl::Seconds(20);
  bool shares_errors = false;  // its stderr is this process's
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

}  // namespace tunesmith
