#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "client/commands.h"
#include "client/local_binary.h"
#include "common/model_flags.h"

namespace tunesmith::client {
namespace {

// `verb` and the flags that were given, as another binary takes them.
std::vector<std::string> ArgumentsOf(const CLI::App& command) {
  std::vector<std::string> arguments = {command.get_name()};
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    const std::string name = option->get_name();
    if (option->get_items_expected_max() == 0) {
      arguments.push_back(name);
      continue;
    }
    for (const std::string& value : option->results())
      arguments.insert(arguments.end(), {name, value});
  }
  return arguments;
}

// The trainer carries the command out, in this process's place.
template <typename Flags>
void AddTrainerVerb(CLI::App& app, Globals& globals, const char* verb, const char* description,
                    void (*add_flags)(CLI::App&, Flags&)) {
  CLI::App* command = app.add_subcommand(verb, description);
  const auto flags = std::make_shared<Flags>();
  add_flags(*command, *flags);
  command->callback([&globals, command, flags] {
    globals.run = [arguments = ArgumentsOf(*command)] {
      return BecomeBinary("tunesmith-trainer", arguments);
    };
  });
}

}  // namespace

void AddEvaluate(CLI::App& app, Globals& globals) {
  AddTrainerVerb(app, globals, "evaluate", "Mean loss of a model over a data set, on this host",
                 AddEvaluateFlags);
}

void AddConvert(CLI::App& app, Globals& globals) {
  AddTrainerVerb(app, globals, "convert",
                 "Write a model as a Hugging Face directory, on this host: config.json, "
                 "safetensors, tokenizer; with --merge, an adapter in it",
                 AddConvertFlags);
}

}  // namespace tunesmith::client
