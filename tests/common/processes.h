#pragma once

#include <sys/types.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "common/file.h"

namespace tunesmith {

// A process as /proc has it. One that ended while it was looked at has empty texts: reading its files fails then (ESRCH).
struct ProcessSeen {
  pid_t pid = 0;
  std::string command;      // its words, each ended by a NUL
  std::string environment;  // variables, likewise; empty where it is somebody else's
};

// The processes whose command line holds `mark`.
inline std::vector<ProcessSeen> ProcessesThatNameIt(const std::string& mark) {
  std::vector<ProcessSeen> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string directory = entry->path().string();
    ProcessSeen process{.pid = std::atoi(entry->path().filename().c_str())};
    if (process.pid <= 0) continue;
    process.command = ReadFile(directory + "/cmdline").value_or("");
    if (process.command.find(mark) == std::string::npos) continue;
    process.environment = ReadFile(directory + "/environ").value_or("");
    found.push_back(std::move(process));
  }
  return found;
}

}  // namespace tunesmith
