#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/settings.h"

// The configuration file of the command line: settings, and named contexts that set more for one server.
//
//   use-context: lab
//   timeout: 60
//   contexts:
//     lab: {server: "lab.example:7433"}
namespace tunesmith::client {

struct Configuration {
  std::string path;                   // also where there is no such file
  std::vector<std::string> contexts;  // in the file's order
  std::string context;                // the one that applies; empty: none
  std::vector<Setting> settings;
};

// $TUNESMITH_CONFIG, else $XDG_CONFIG_HOME/tunesmith/config.yaml, else the same below $HOME/.config.
std::string ConfigPath();

// Applies the file to the flags of `app`, to be called once after it was parsed; `context` is what flag or environment chose, or empty. Without a file, defaults hold, but NOT_FOUND when
// $TUNESMITH_CONFIG names none. INVALID_ARGUMENT names file, line, and what is known instead.
absl::StatusOr<Configuration> Configure(CLI::App& app, const std::string& context);

// Makes the file name `context` as the one that applies, all else kept as it stands. NOT_FOUND where it has no such context.
absl::Status UseContext(const Configuration& configuration, const std::string& context);

}  // namespace tunesmith::client
