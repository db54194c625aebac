// Lines of any text: the first two are options, the rest words of the command. An error, or a script of whose lines all but the last are
// directives of harmless characters, and whose last, read as the shell reads it, gives the words back.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/str_cat.h"
#include "server/launch/slurm/sbatch_script.h"
#include "tests/fuzz/require.h"

namespace tunesmith::server {
namespace {

// The words of "exec 'a' 'b'\''c'": quoted stretches, and quotes behind a backslash.
std::vector<std::string> WordsOf(std::string_view line) {
  std::vector<std::string> words;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted) {
      if (c == '\'') quoted = false;
      if (c != '\'') words.back() += c;
    } else if (c == ' ') {
      words.emplace_back();
    } else if (c == '\\') {
      Require(i + 1 < line.size() && line[i + 1] == '\'');
      words.back() += line[++i];
    } else {
      Require(c == '\'');
      quoted = true;
    }
  }
  Require(!quoted);
  return words;
}

void CheckDirective(std::string_view line) {
  Require(line.starts_with("#SBATCH --") && line.size() < 500);
  for (const char c : line.substr(10))
    Require(c > ' ' && c < 0x7f &&
            std::string_view("'\"\\`$#;<>{}?").find(c) == std::string_view::npos);
}

void Check(std::string_view text) {
  const std::vector<std::string> lines = absl::StrSplit(ToAbsl(text), '\n');
  SbatchScript script{.job_name = "tunesmith-x-1"};
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i >= 2) {
      script.command.push_back(lines[i]);
      continue;
    }
    // Also as they are, since the renderer must not rely on who made them.
    const auto option = ParseSbatchOption(lines[i]);
    if (option.ok()) script.options.push_back(*option);
    if (!option.ok()) script.options.push_back({"constraint", lines[i]});
  }
  // A word may hold a line's end.
  if (!script.command.empty()) script.command.front() += "\n#SBATCH --wrap=x";
  const auto rendered = RenderSbatch(script);
  if (!rendered.ok()) return;
  const size_t exec = rendered->find("\nexec") + 1;
  const std::vector<std::string> directives =
      absl::StrSplit(rendered->substr(0, exec), '\n', absl::SkipEmpty());
  Require(directives.front() == "#!/bin/bash");
  for (size_t i = 1; i < directives.size(); ++i) CheckDirective(directives[i]);
  std::string_view command = std::string_view(*rendered).substr(exec);
  Require(command.ends_with('\n'));
  command.remove_suffix(1);
  Require(WordsOf(command.substr(4)) == script.command);
}

}  // namespace
}  // namespace tunesmith::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::server::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
