#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/settings.h"

// Where tunesmithd's settings come from: a flag wins over the environment (TUNESMITHD_LISTEN for --listen), that over the file, that over the
// default.
namespace tunesmith::server {

// Flags that do something and end instead of setting something; neither the environment nor a file gives them.
inline constexpr char kActions[] = "Actions";  // their group

// Gives every flag its variable. Before parsing, when all flags are there.
void NameVariables(CLI::App& app);

// Sets what `path` has (empty: no file), and tells where every setting is from. Errors as ReadSettingsFile and ApplySettings, and
// INVALID_ARGUMENT for an action in the file. Once, after parsing.
absl::StatusOr<std::vector<Setting>> Configure(CLI::App& app, const std::string& path);

// As a file could have it, with the origins as comments.
std::string Show(const std::vector<Setting>& settings);

// The value that a file has of a setting now; empty: it has none, or cannot be read.
std::string ValueInFile(const std::string& path, const std::string& name);

}  // namespace tunesmith::server
