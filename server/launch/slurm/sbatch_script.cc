#include "server/launch/slurm/sbatch_script.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::server {
namespace {

constexpr size_t kLongestName = 40;
constexpr size_t kLongestValue = 400;

// Between "#SBATCH" and the line's end, sbatch knows quotes, backslashes and comments: none of these.
constexpr std::string_view kHarmless = "_.,:=@+-/%[]()*&|!~^";

// What the script is made of already, or what would keep it from being the job's script.
constexpr std::string_view kSetByTunesmith[] = {"job-name",
                                                "output",
                                                "error",
                                                "input",
                                                "open-mode",
                                                "requeue",
                                                "no-requeue",
                                                "signal",
                                                "nodes",
                                                "ntasks",
                                                "tasks",
                                                "ntasks-per-node",
                                                "tasks-per-node",
                                                "ntasks-per-gpu",
                                                "cpus-per-task",
                                                "gpus-per-node",
                                                "gpus",
                                                "gres",
                                                "gpus-per-task",
                                                "gpus-per-socket",
                                                "cpus-per-gpu",
                                                "tres-per-task",
                                                "mem",
                                                "mem-per-cpu",
                                                "mem-per-gpu",
                                                "time",
                                                "array",
                                                "wrap",
                                                "chdir",
                                                "export",
                                                "export-file",
                                                "parsable",
                                                "test-only",
                                                "wait",
                                                "help",
                                                "usage",
                                                "version",
                                                "uid",
                                                "gid",
                                                "get-user-env",
                                                "quiet",
                                                "verbose",
                                                "clusters",
                                                "kill-on-invalid-dep"};

// The option of Tunesmith's own that sbatch would take `name` for; empty: none. It takes the beginning of
// a name for the whole (getopt_long), where it is no whole name itself.
std::string_view OwnOptionOf(std::string_view name) {
  const auto exact = std::find(std::begin(kSetByTunesmith), std::end(kSetByTunesmith), name);
  if (exact != std::end(kSetByTunesmith)) return *exact;
  const auto begun = std::find_if(std::begin(kSetByTunesmith), std::end(kSetByTunesmith),
                                  [&](std::string_view own) { return own.starts_with(name); });
  return begun == std::end(kSetByTunesmith) ? std::string_view() : *begun;
}

bool IsHarmless(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         kHarmless.find(c) != std::string_view::npos;
}

bool IsNameCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-';
}

absl::Status CheckOption(const SbatchOption& option) {
  const std::string& name = option.name;
  if (name.empty() || name.size() > kLongestName ||
      !absl::ascii_islower(static_cast<unsigned char>(name[0])) ||
      !std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return absl::InvalidArgumentError(
        StrCat("\"", name.substr(0, kLongestName),
               "\" is no name of an option of sbatch; give its long name without dashes, as in "
               "constraint=a100"));
  }
  const auto& value = option.value;
  if (value.size() > kLongestValue) {
    return absl::InvalidArgumentError(
        StrCat("the value of ", name, " has more than ", kLongestValue, " characters"));
  }
  const auto harmful = std::find_if_not(value.begin(), value.end(), IsHarmless);
  if (harmful == value.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("the value of ", name, " has the character '",
                                           absl::CEscape(std::string(1, *harmful)),
                                           "'; letters, digits and ", kHarmless, " are taken"));
}

absl::Status CheckWord(const std::string& word) {
  if (word.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError("a word of the command has a NUL");
}

std::string Directive(std::string_view name, std::string_view value) {
  return value.empty() ? StrCat("#SBATCH --", name, "\n")
                       : StrCat("#SBATCH --", name, "=", value, "\n");
}

int64_t Minutes(absl::Duration time) {
  return std::max<int64_t>(1, absl::ToInt64Minutes(absl::Ceil(time, absl::Minutes(1))));
}

std::string Resources(const SbatchScript& script) {
  std::string text = Directive("nodes", StrCat(script.node_count));
  text += Directive("ntasks-per-node", StrCat(script.tasks_per_node));
  text += Directive("cpus-per-task", StrCat(script.cpus_per_task));
  if (script.gpus_per_node > 0) text += Directive("gpus-per-node", StrCat(script.gpus_per_node));
  if (script.memory_bytes_per_node > 0) {
    const int64_t mebibytes = (script.memory_bytes_per_node + kMiB - 1) / kMiB;
    text += Directive("mem", StrCat(mebibytes, "M"));
  }
  if (script.time_limit > absl::ZeroDuration())
    text += Directive("time", StrCat(Minutes(script.time_limit)));
  return text;
}

}  // namespace

std::string ShellQuote(std::string_view word) {
  return absl::StrCat("'", absl::StrReplaceAll(ToAbsl(word), {{"'", "'\\''"}}), "'");
}

absl::StatusOr<SbatchOption> ParseSbatchOption(std::string_view text) {
  const size_t equals = text.find('=');
  SbatchOption option{.name = std::string(text.substr(0, equals)), .value = {}};
  if (equals != std::string_view::npos) option.value = text.substr(equals + 1);
  TUNESMITH_RETURN_IF_ERROR(CheckOption(option));
  const std::string_view own = OwnOptionOf(option.name);
  if (own.empty()) return option;
  return absl::InvalidArgumentError(
      StrCat(option.name, own == option.name ? "" : StrCat(" is short for ", own, ", which"),
             " is set by Tunesmith, from the plan and the job"));
}

absl::StatusOr<std::string> RenderSbatch(const SbatchScript& script) {
  TUNESMITH_RETURN_IF_ERROR(CheckOption({.name = "job-name", .value = script.job_name}));
  // Output goes under the directory that sbatch is called in, so that no path stands in a directive.
  std::string text = StrCat("#!/bin/bash\n", Directive("job-name", script.job_name),
                            Directive("output", "log/slurm.log"), Directive("open-mode", "append"),
                            Directive("requeue", ""), Resources(script));
  if (script.warning > absl::ZeroDuration()) {
    text += Directive(
        "signal",
        StrCat("B:USR1@", absl::ToInt64Seconds(absl::Ceil(script.warning, absl::Seconds(1)))));
  }
  for (const SbatchOption& option : script.options) {
    TUNESMITH_RETURN_IF_ERROR(CheckOption(option));
    text += Directive(option.name, option.value);
  }
  text += "exec";
  for (const std::string& word : script.command) {
    TUNESMITH_RETURN_IF_ERROR(CheckWord(word));
    absl::StrAppend(&text, " ", ShellQuote(word));
  }
  return text + "\n";
}

}  // namespace tunesmith::server
