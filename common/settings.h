#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace CLI {
class App;
}

// Settings of a program from four places: a flag wins over the environment, that over a file, that over the default. What may be set are the flags of the
// application itself (not of its commands) that take a value or switch something; a file names them without their dashes, as `server: host:7433`.
namespace tunesmith {

struct FileSetting {
  std::string key;                  // "server"; of a nested one "contexts.lab.server"
  std::vector<std::string> values;  // one, unless it is a list
  std::string where;                // "/etc/tunesmith/config.yaml:12"
};

// The YAML file's scalars and lists of scalars. Errors of reading it, and INVALID_ARGUMENT with file and line where it is not such a file.
absl::StatusOr<std::vector<FileSetting>> ReadSettingsFile(const std::string& path);

struct Setting {
  std::string name;
  std::string value;
  std::string origin;  // "flag", "environment TUNESMITH_SERVER", "config.yaml:12" or "default"
};

// Sets what neither a flag nor the environment has, and tells all settings with where each came from. A later setting of the same key wins. To be called once,
// after `app.parse`. INVALID_ARGUMENT names file, line and key where no flag is called so or the value is not one of its.
absl::StatusOr<std::vector<Setting>> ApplySettings(CLI::App& app,
                                                   const std::vector<FileSetting>& from_file);

}  // namespace tunesmith
