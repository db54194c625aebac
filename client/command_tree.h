#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

// The command line as data: what completion, manual pages and the reference are written from.
namespace tunesmith::client {

struct CommandFlag {
  std::vector<std::string> names;  // "-o", "--format"; empty for a positional
  std::string value_name;          // "FORMAT", "INT"; of a positional, its name; empty for a switch
  std::vector<std::string> choices;  // where only these are taken
  std::string description;
  std::string default_text;
  std::string environment;  // the variable that is read where the flag is missing
  bool is_required = false;
  bool may_repeat = false;

  bool IsPositional() const { return names.empty(); }
};

struct CommandNode {
  std::vector<std::string> path;  // "tunesmith", "jobs", "list"
  std::string description;
  std::string footer;
  std::vector<CommandFlag> flags;  // positionals first
  std::vector<CommandNode> commands;

  std::string Name() const;                                   // "tunesmith jobs list"
  const CommandNode* Find(const std::string& command) const;  // null where there is none
};

// Hidden commands and flags are left out.
CommandNode CommandTreeOf(const CLI::App& app);

}  // namespace tunesmith::client
