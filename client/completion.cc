#include "client/completion.h"

#include <algorithm>
#include <utility>

namespace tunesmith::client {
namespace {

constexpr char kBash[] =
    R"(# bash completion of tunesmith: source it, or put it into ~/.local/share/bash-completion/completions/tunesmith
_tunesmith() {
  local lines line
  COMPREPLY=()
  mapfile -t lines < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  for line in "${lines[@]}"; do
    case $line in
      :files) compopt -o default ;;
      *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done
}
complete -F _tunesmith tunesmith
)";

constexpr char kZsh[] = R"(#compdef tunesmith
# zsh completion of tunesmith: put it into a directory of $fpath as _tunesmith, or source it after compinit
_tunesmith() {
  local line
  local -a candidates
  local files=0
  for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :files) files=1 ;;
      '') ;;
      *) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
  done
  (( ${#candidates} )) && _describe tunesmith candidates
  (( files )) && _files
}
compdef _tunesmith tunesmith
)";

constexpr char kFish[] =
    R"(# fish completion of tunesmith: put it into ~/.config/fish/completions/tunesmith.fish
function __tunesmith_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l program $words[1]
  for line in ($program __complete $words[2..-1] 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c tunesmith -f -a '(__tunesmith_complete)'
)";

// What a word of a flag says: its name, and the value where it stands in the same word.
struct FlagWord {
  std::string name;
  std::string value;
  bool has_value = false;
};

FlagWord Split(const std::string& word) {
  const size_t equals = word.find('=');
  if (!word.starts_with("--") || equals == std::string::npos) return {.name = word, .value = {}};
  return {.name = word.substr(0, equals), .value = word.substr(equals + 1), .has_value = true};
}

// Where the words before the cursor lead.
class Walk {
 public:
  Walk(const CommandNode& root, const std::vector<std::string>& words) : nodes_({&root}) {
    for (size_t i = 0; i + 1 < words.size(); ++i) Step(words[i]);
  }

  const CommandNode& node() const { return *nodes_.back(); }
  const std::vector<const CommandNode*>& nodes() const { return nodes_; }
  const CommandFlag* awaited() const { return awaited_; }  // the flag whose value comes next
  size_t positional_count() const { return positional_count_; }
  const std::string& server() const { return server_; }

  // Commands know their parents' flags.
  const CommandFlag* FindFlag(const std::string& name) const {
    for (const CommandNode* node : nodes_) {
      for (const CommandFlag& flag : node->flags)
        if (std::count(flag.names.begin(), flag.names.end(), name) > 0) return &flag;
    }
    return nullptr;
  }

 private:
  void Step(const std::string& word) {
    if (awaited_ != nullptr && word == "=") return;
    if (awaited_ != nullptr) return Take(std::exchange(awaited_, nullptr), word);
    if (word.starts_with('-')) return StepFlag(Split(word));
    const CommandNode* command = node().Find(word);
    if (command == nullptr) {
      ++positional_count_;
    } else {
      nodes_.push_back(command);
      positional_count_ = 0;
    }
  }

  void StepFlag(const FlagWord& word) {
    const CommandFlag* flag = FindFlag(word.name);
    if (flag == nullptr || flag->value_name.empty()) return;
    if (word.has_value) return Take(flag, word.value);
    awaited_ = flag;
  }

  void Take(const CommandFlag* flag, const std::string& value) {
    if (flag->names.back() == "--server") server_ = value;
  }

  std::vector<const CommandNode*> nodes_;
  const CommandFlag* awaited_ = nullptr;
  size_t positional_count_ = 0;
  std::string server_;
};

// Of a value: its choices, or what is looked up; where neither is known it may be a file.
Completion ValuesOf(const CommandFlag& flag, const std::string& server, const ValueSource& values) {
  Completion completion;
  for (const std::string& choice : flag.choices) completion.candidates.push_back({choice});
  if (!completion.candidates.empty()) return completion;
  const std::string name = flag.IsPositional() ? flag.value_name : flag.names.back();
  completion.candidates = values(name, server);
  completion.files_too = flag.value_name != "INT" && flag.value_name != "FLOAT" &&
                         flag.value_name != "UINT" && name != "JOB";
  return completion;
}

Completion FlagNames(const Walk& walk) {
  Completion completion;
  for (auto node = walk.nodes().rbegin(); node != walk.nodes().rend(); ++node) {
    for (const CommandFlag& flag : (*node)->flags) {
      if (flag.IsPositional()) continue;
      const bool shown = std::any_of(
          completion.candidates.begin(), completion.candidates.end(),
          [&](const Candidate& candidate) { return candidate.text == flag.names.back(); });
      if (!shown) completion.candidates.push_back({flag.names.back(), flag.description});
    }
  }
  return completion;
}

Completion CommandsOrPositional(const Walk& walk, const ValueSource& values) {
  Completion completion;
  for (const CommandNode& command : walk.node().commands)
    completion.candidates.push_back({command.path.back(), command.description});
  if (!completion.candidates.empty()) return completion;
  size_t index = 0;
  for (const CommandFlag& flag : walk.node().flags) {
    if (flag.IsPositional() && index++ == walk.positional_count())
      return ValuesOf(flag, walk.server(), values);
  }
  return completion;
}

// With "--flag=" in the same word the candidates have it too.
Completion Unfiltered(const Walk& walk, const std::string& word, std::string& typed,
                      const ValueSource& values) {
  typed = word;
  if (walk.awaited() != nullptr) {
    if (word == "=") typed.clear();
    return ValuesOf(*walk.awaited(), walk.server(), values);
  }
  const FlagWord parts = Split(word);
  const CommandFlag* flag = parts.has_value ? walk.FindFlag(parts.name) : nullptr;
  if (flag != nullptr) {
    Completion completion = ValuesOf(*flag, walk.server(), values);
    for (Candidate& candidate : completion.candidates)
      candidate.text = parts.name + "=" + candidate.text;
    return completion;
  }
  return word.starts_with('-') ? FlagNames(walk) : CommandsOrPositional(walk, values);
}

}  // namespace

Completion Complete(const CommandNode& root, const std::vector<std::string>& words,
                    const ValueSource& values) {
  const Walk walk(root, words);
  std::string typed;
  Completion completion =
      Unfiltered(walk, words.empty() ? std::string() : words.back(), typed, values);
  std::erase_if(completion.candidates,
                [&](const Candidate& candidate) { return !candidate.text.starts_with(typed); });
  return completion;
}

std::string CompletionScript(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  return shell == "fish" ? kFish : "";
}

}  // namespace tunesmith::client
