#pragma once

#include <functional>
#include <string>
#include <vector>

#include "client/command_tree.h"

// What may stand where the cursor is. The shells' scripts are small and ask the binary, so that they know names of models, devices and jobs.
namespace tunesmith::client {

struct Candidate {
  std::string text;
  std::string description = {};
};

struct Completion {
  std::vector<Candidate> candidates;
  bool files_too = false;  // the shell offers files where no candidate is meant
};

// Values of "--model", "--gpus" or a positional "JOB", looked up when they are asked for; `server` is what the words name by --server, or empty.
using ValueSource =
    std::function<std::vector<Candidate>(const std::string& name, const std::string& server)>;

// `words` are what was typed after the program's name, the last one up to the cursor (perhaps empty). Shells that split at '=' pass it as a word of its own.
Completion Complete(const CommandNode& root, const std::vector<std::string>& words,
                    const ValueSource& values);

// The script for a shell: "bash", "zsh" or "fish"; empty for any other.
std::string CompletionScript(const std::string& shell);

}  // namespace tunesmith::client
