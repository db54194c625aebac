#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"

namespace tunesmith::client {
namespace {

Listing SettingListing(const Configuration& configuration) {
  Listing listing({{"name", "setting"}, {"value", "value"}, {"origin", "from"}}, "name");
  for (const Setting& setting : configuration.settings)
    listing.AddRow({setting.name, setting.value, setting.origin});
  return listing;
}

std::string ConfigurationJson(const Configuration& configuration) {
  auto settings = nlohmann::ordered_json::array();
  for (const Setting& setting : configuration.settings)
    settings.push_back(
        {{"name", setting.name}, {"value", setting.value}, {"origin", setting.origin}});
  return nlohmann::ordered_json{{"file", configuration.path},
                                {"context", configuration.context},
                                {"contexts", configuration.contexts},
                                {"settings", settings}}
      .dump(2);
}

std::string ShowConfiguration(const Output& output, const Configuration& configuration) {
  std::string contexts;
  for (const std::string& name : configuration.contexts)
    absl::StrAppend(&contexts, " ", name, name == configuration.context ? "*" : "");
  return StrCat(TextOf(output, SettingListing(configuration)), "\nfile: ", configuration.path,
                "\ncontexts:", contexts.empty() ? " none" : contexts, "\n");
}

CLI::App* AddVerb(CLI::App& parent, const char* name, const char* description) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough();
  return command;
}

}  // namespace

void AddConfig(CLI::App& app, Globals& globals) {
  CLI::App* parent = app.add_subcommand("config", "Show settings and choose a context");
  parent->require_subcommand(1);
  CLI::App* view = AddVerb(*parent, "view", "Show every setting and where its value is from");
  auto output = std::make_shared<Output>();
  AddOutputFlags(*view, *output);
  view->callback([&globals, output] {
    globals.run = [&globals, output] {
      const Configuration& configuration = globals.configuration;
      PrintJson(*output, ConfigurationJson(configuration), SettingListing(configuration),
                ShowConfiguration(*output, configuration));
      return static_cast<int>(kExitOk);
    };
  });
  CLI::App* use = AddVerb(*parent, "use", "Make a context of the file the one that applies");
  auto name = std::make_shared<std::string>();
  use->add_option("CONTEXT", *name, "Its name")->required();
  use->callback([&globals, name] {
    globals.run = [&globals, name] {
      const absl::Status status = UseContext(globals.configuration, *name);
      if (!status.ok()) return Fail(status);
      std::fprintf(stderr, "%s applies from now on\n", name->c_str());
      return static_cast<int>(kExitOk);
    };
  });
}

}  // namespace tunesmith::client
