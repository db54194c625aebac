#include "common/settings.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/suggest.h"
#include "common/text.h"

namespace tunesmith {
namespace {

std::string Where(const std::string& path, const YAML::Mark& mark) {
  return StrCat(path, ":", mark.line + 1);
}

absl::Status Flatten(const std::string& path, const std::string& prefix, const YAML::Node& node,
                     std::vector<FileSetting>& settings) {
  if (node.IsMap()) {
    for (const auto& member : node) {
      const std::string key = StrCat(prefix, prefix.empty() ? "" : ".", member.first.Scalar());
      TUNESMITH_RETURN_IF_ERROR(Flatten(path, key, member.second, settings));
    }
    return absl::OkStatus();
  }
  FileSetting setting = {.key = prefix, .values = {}, .where = Where(path, node.Mark())};
  if (node.IsScalar() && !prefix.empty()) {
    setting.values = {node.Scalar()};
  } else if (node.IsSequence()) {
    for (const YAML::Node& item : node) setting.values.push_back(item.Scalar());
  } else {
    return absl::InvalidArgumentError(
        StrCat(setting.where, ": ", prefix.empty() ? "the file" : prefix,
               " has no value; write settings as 'server: 127.0.0.1:7433'"));
  }
  settings.push_back(std::move(setting));
  return absl::OkStatus();
}

bool IsSetting(const CLI::App& app, const CLI::Option& option) {
  return option.nonpositional() && !option.get_group().empty() && &option != app.get_help_ptr() &&
         &option != app.get_version_ptr();
}

std::string NameOf(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_snames().front() : option.get_lnames().front();
}

std::string ValueOf(const CLI::Option& option) {
  if (option.count() > 0) return StrJoin(option.results(), ",");
  const bool is_switch = option.get_items_expected_max() == 0;
  return is_switch && option.get_default_str().empty() ? "false" : option.get_default_str();
}

std::string OriginOf(const CLI::App& app, const CLI::Option& option) {
  const std::vector<CLI::Option*>& parsed = app.parse_order();
  if (std::find(parsed.begin(), parsed.end(), &option) != parsed.end()) return "flag";
  if (option.count() > 0) return StrCat("environment ", option.get_envname());
  return "default";
}

absl::Status Set(const FileSetting& setting, CLI::Option& option) {
  try {
    const bool is_switch = option.get_items_expected_max() == 0;
    option.clear();
    for (const std::string& value : setting.values)
      option.add_result(is_switch ? option.get_flag_value(NameOf(option), value) : value);
    option.run_callback();
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(StrCat(setting.where, ": ", error.what()));
  }
  return absl::OkStatus();
}

absl::Status RequireKnown(const std::vector<FileSetting>& settings,
                          const std::vector<std::string>& names) {
  for (const FileSetting& setting : settings) {
    if (std::find(names.begin(), names.end(), setting.key) == names.end())
      return absl::InvalidArgumentError(StrCat(setting.where, ": there is no setting '",
                                               setting.key, "'; ", DidYouMean(setting.key, names)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<FileSetting>> ReadSettingsFile(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<FileSetting> settings;
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsNull()) TUNESMITH_RETURN_IF_ERROR(Flatten(path, "", root, settings));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(StrCat(Where(path, error.mark), ": ", error.msg));
  }
  return settings;
}

absl::StatusOr<std::vector<Setting>> ApplySettings(CLI::App& app,
                                                   const std::vector<FileSetting>& from_file) {
  std::vector<CLI::Option*> options;
  std::vector<std::string> names;
  for (CLI::Option* option : app.get_options([](const CLI::Option*) { return true; })) {
    if (!IsSetting(app, *option)) continue;
    options.push_back(option);
    names.push_back(NameOf(*option));
  }
  TUNESMITH_RETURN_IF_ERROR(RequireKnown(from_file, names));
  std::vector<Setting> settings;
  for (CLI::Option* option : options) {
    std::string origin = OriginOf(app, *option);
    const bool is_free = option->count() == 0;
    for (const FileSetting& setting : from_file) {
      if (setting.key != NameOf(*option) || !is_free) continue;
      TUNESMITH_RETURN_IF_ERROR(Set(setting, *option));
      origin = setting.where;
    }
    settings.push_back({NameOf(*option), ValueOf(*option), std::move(origin)});
  }
  return settings;
}

}  // namespace tunesmith
