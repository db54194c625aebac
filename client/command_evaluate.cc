#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

// Beside this binary, or in $TUNESMITH_BIN_DIR.
std::string TrainerPath() {
  if (const char* directory = std::getenv("TUNESMITH_BIN_DIR"); directory && *directory)
    return StrCat(directory, "/tunesmith-trainer");
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() /
          "tunesmith-trainer")
      .string();
}

// Becomes the trainer, which takes the same arguments; its output and exit status are the command's.
int RunTrainer(const std::string& verb, const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {TrainerPath(), verb};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(all[0].c_str(), pointers.data());
  return Fail(absl::ErrnoToStatus(
      errno, StrCat("cannot start ", all[0],
                    "; set TUNESMITH_BIN_DIR to the directory of Tunesmith's binaries")));
}

void AddTrainerVerb(CLI::App& app, Globals& globals, const std::string& verb,
                    const std::string& description) {
  CLI::App* command = app.add_subcommand(verb, description);
  command->fallthrough(false);  // the flags are the trainer's, all of them
  command->allow_extras();
  command->set_help_flag();  // --help is the trainer's to answer
  command->callback([&globals, command, verb] {
    globals.run = [verb, arguments = command->remaining()] { return RunTrainer(verb, arguments); };
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
