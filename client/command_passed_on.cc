#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "client/commands.h"
#include "client/local_binary.h"

namespace tunesmith::client {
namespace {

// The flags are the other binary's, all of them, and so is --help.
CLI::App* AddPassedOn(CLI::App& app, const std::string& verb, const std::string& description) {
  CLI::App* command = app.add_subcommand(verb, description);
  command->fallthrough(false);
  command->allow_extras();
  command->set_help_flag();
  return command;
}

void AddTrainerVerb(CLI::App& app, Globals& globals, const std::string& verb,
                    const std::string& description) {
  CLI::App* command = AddPassedOn(app, verb, description);
  command->callback([&globals, command, verb] {
    std::vector<std::string> arguments = command->remaining();
    arguments.insert(arguments.begin(), verb);
    globals.run = [arguments] { return BecomeBinary("tunesmith-trainer", arguments); };
  });
}

}  // namespace

void AddEvaluate(CLI::App& app, Globals& globals) {
  AddTrainerVerb(
      app, globals, "evaluate",
      "Loss of a model on a data set, on this host: --model DIR|FILE.gguf "
      "[--adapter DIR] [--base wide|nf4|nf4-double] --dataset F.jsonl --context N [-o json]");
}

void AddConvert(CLI::App& app, Globals& globals) {
  AddTrainerVerb(app, globals, "convert",
                 "A model as a Hugging Face directory, on this host: --model FILE.gguf|DIR "
                 "--output DIR [--merge ADAPTER] [--base wide|nf4|nf4-double] [--dtype bf16|f32]");
}

}  // namespace tunesmith::client
