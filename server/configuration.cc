#include "server/configuration.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/text.h"

namespace tunesmith::server {
namespace {

bool IsAction(const CLI::Option& option) { return option.get_group() == kActions; }

std::string NameOf(const CLI::Option& option) {
  return option.get_lnames().empty() ? "" : option.get_lnames().front();
}

// As YAML reads it. The command line's library writes defaults that are lists as "[a,b]".
std::string Quoted(const std::string& value) {
  if (value.starts_with('[') && value.ends_with(']')) return value;
  return StrCat("\"", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string Line(const Setting& setting) {
  if (setting.value.empty()) return StrCat("# ", setting.name, ": not set\n");
  return StrCat(setting.name, ": ", Quoted(setting.value), "  # ", setting.origin, "\n");
}

}  // namespace

void NameVariables(CLI::App& app) {
  for (CLI::Option* option : app.get_options([](const CLI::Option*) { return true; })) {
    const std::string name = NameOf(*option);
    if (name.empty() || IsAction(*option) || option == app.get_help_ptr() ||
        option == app.get_version_ptr())
      continue;
    option->envname(
        absl::AsciiStrToUpper(StrCat("TUNESMITHD_", absl::StrReplaceAll(name, {{"-", "_"}}))));
  }
}

absl::StatusOr<std::vector<Setting>> Configure(CLI::App& app, const std::string& path) {
  std::vector<FileSetting> from_file;
  if (!path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(from_file, ReadSettingsFile(path));
  }
  std::vector<std::string> actions = {"config"};
  for (const CLI::Option* option :
       app.get_options([](const CLI::Option* each) { return IsAction(*each); }))
    actions.push_back(NameOf(*option));
  const auto is_action = [&](const std::string& name) {
    return std::find(actions.begin(), actions.end(), name) != actions.end();
  };
  for (const FileSetting& setting : from_file) {
    if (is_action(setting.key))
      return absl::InvalidArgumentError(
          StrCat(setting.where, ": ", setting.key, " is no setting; give it as a flag"));
  }
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Setting> settings, ApplySettings(app, from_file));
  std::erase_if(settings, [&](const Setting& setting) { return is_action(setting.name); });
  return settings;
}

std::string Show(const std::vector<Setting>& settings) {
  std::string text;
  for (const Setting& setting : settings) text += Line(setting);
  return text;
}

std::string ValueInFile(const std::string& path, const std::string& name) {
  if (path.empty()) return "";
  const auto settings = ReadSettingsFile(path);
  if (!settings.ok()) return "";
  for (const FileSetting& setting : *settings) {
    if (setting.key == name && setting.values.size() == 1) return setting.values.front();
  }
  return "";
}

}  // namespace tunesmith::server
