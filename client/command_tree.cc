#include "client/command_tree.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "common/text.h"

namespace tunesmith::client {
namespace {

// A check against a set describes itself as "{a,b}", after the type: "TEXT:{a,b}".
std::vector<std::string> ChoicesOf(const std::string& type) {
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::vector<std::string> choices;
  for (const std::string_view choice :
       StrSplit(std::string_view(type).substr(begin + 1, end - begin - 1), ","))
    choices.emplace_back(choice);
  return choices;
}

CommandFlag FlagOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  CommandFlag flag = {.names = {},
                      .value_name = type.substr(0, type.find(':')),
                      .choices = ChoicesOf(type),
                      .description = option.get_description(),
                      .default_text = option.get_default_str(),
                      .environment = option.get_envname(),
                      .is_required = option.get_required(),
                      .may_repeat = option.get_items_expected_max() > 1};
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  if (option.get_items_expected_max() == 0) flag.value_name.clear();
  if (option.get_positional()) flag.value_name = option.get_name(/*positional=*/true);
  return flag;
}

std::vector<CommandFlag> FlagsOf(const CLI::App& app) {
  std::vector<CommandFlag> flags;
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) flags.push_back(FlagOf(*option));
  std::stable_partition(flags.begin(), flags.end(),
                        [](const CommandFlag& flag) { return flag.IsPositional(); });
  return flags;
}

CommandNode NodeOf(const CLI::App& app, std::vector<std::string> path) {
  path.push_back(app.get_name());
  CommandNode node = {.path = path,
                      .description = app.get_description(),
                      .footer = app.get_footer(),
                      .flags = FlagsOf(app),
                      .commands = {}};
  const auto all = [](const CLI::App*) { return true; };
  for (const CLI::App* command : app.get_subcommands(all)) {
    if (!command->get_group().empty()) node.commands.push_back(NodeOf(*command, path));
  }
  return node;
}

}  // namespace

std::string CommandNode::Name() const { return StrJoin(path, " "); }

const CommandNode* CommandNode::Find(const std::string& command) const {
  const auto found = std::find_if(commands.begin(), commands.end(), [&](const CommandNode& node) {
    return node.path.back() == command;
  });
  return found == commands.end() ? nullptr : &*found;
}

CommandNode CommandTreeOf(const CLI::App& app) { return NodeOf(app, {}); }

}  // namespace tunesmith::client
