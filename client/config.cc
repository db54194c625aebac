#include "client/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/suggest.h"
#include "common/text.h"

namespace tunesmith::client {
namespace {

constexpr std::string_view kContexts = "contexts.";
constexpr std::string_view kUseContext = "use-context";

const char* Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

// "contexts.lab.server" is "server" of "lab".
struct ContextKey {
  std::string context;
  std::string key;
};

ContextKey Split(const std::string& key) {
  const std::string rest = key.substr(kContexts.size());
  const size_t dot = rest.rfind('.');
  if (dot == std::string::npos) return {.context = rest, .key = ""};
  return {.context = rest.substr(0, dot), .key = rest.substr(dot + 1)};
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

absl::Status RequireContext(const Configuration& configuration, const std::string& context) {
  if (Contains(configuration.contexts, context)) return absl::OkStatus();
  return absl::NotFoundError(StrCat(configuration.path, " has no context '", context, "'; ",
                                    configuration.contexts.empty()
                                        ? "write one under contexts:"
                                        : DidYouMean(context, configuration.contexts)));
}

absl::StatusOr<std::vector<FileSetting>> ReadIfThere(const std::string& path) {
  auto settings = ReadSettingsFile(path);
  if (absl::IsNotFound(settings.status()) && Environment("TUNESMITH_CONFIG") == nullptr)
    return std::vector<FileSetting>{};
  return settings;
}

}  // namespace

std::string ConfigPath() {
  if (const char* path = Environment("TUNESMITH_CONFIG")) return path;
  const char* directory = Environment("XDG_CONFIG_HOME");
  const char* home = Environment("HOME");
  const std::string base =
      directory != nullptr ? directory : StrCat(home != nullptr ? home : "", "/.config");
  return base + "/tunesmith/config.yaml";
}

absl::StatusOr<Configuration> Configure(CLI::App& app, const std::string& context) {
  Configuration configuration = {
      .path = ConfigPath(), .contexts = {}, .context = context, .settings = {}};
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<FileSetting> file, ReadIfThere(configuration.path));
  std::vector<FileSetting> plain;
  for (const FileSetting& setting : file) {
    if (setting.key.starts_with(kContexts)) {
      const std::string name = Split(setting.key).context;
      if (!Contains(configuration.contexts, name)) configuration.contexts.push_back(name);
      continue;
    }
    plain.push_back(setting);
    if (setting.key == kUseContext && context.empty() && setting.values.size() == 1)
      configuration.context = setting.values[0];
  }
  if (!configuration.context.empty())
    TUNESMITH_RETURN_IF_ERROR(RequireContext(configuration, configuration.context));
  for (FileSetting setting : file) {
    if (!setting.key.starts_with(kContexts)) continue;
    const ContextKey parts = Split(setting.key);
    if (parts.context != configuration.context) continue;
    setting.key = parts.key;
    plain.push_back(std::move(setting));
  }
  TUNESMITH_ASSIGN_OR_RETURN(configuration.settings, ApplySettings(app, plain));
  return configuration;
}

absl::Status UseContext(const Configuration& configuration, const std::string& context) {
  TUNESMITH_RETURN_IF_ERROR(RequireContext(configuration, context));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(configuration.path));
  const std::string line = StrCat(kUseContext, ": \"", context, "\"");
  std::string changed;
  bool found = false;
  for (const std::string_view old : StrSplit(text, "\n")) {
    const bool is_it = old.starts_with(StrCat(kUseContext, ":"));
    found = found || is_it;
    absl::StrAppend(&changed, changed.empty() ? "" : "\n", is_it ? line : std::string(old));
  }
  return WriteFileAtomically(configuration.path, found ? changed : StrCat(line, "\n", text));
}

}  // namespace tunesmith::client
