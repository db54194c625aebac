#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// The batch script of one attempt: a pure function of what it asks for. What people or files say gets
// into it in two ways only: values of options, held to a list of harmless characters, and the words
// of the command, quoted for the shell.
namespace tunesmith::server {

// A further option of sbatch, without dashes: {"constraint", "a100"}. Without value: {"exclusive", ""}.
struct SbatchOption {
  std::string name;
  std::string value;
};

struct SbatchScript {
  std::string job_name;
  int64_t node_count = 1;
  int64_t tasks_per_node = 1;
  int64_t cpus_per_task = 1;
  int64_t gpus_per_node = 0;
  int64_t memory_bytes_per_node = 0;  // 0: not asked for
  absl::Duration time_limit;          // zero: the partition's own
  absl::Duration warning;             // SIGUSR1 to the command so long before the time limit
  std::vector<SbatchOption> options;  // partition, account, ... and further ones
  std::vector<std::string> command;   // what the job is, word by word
};

// The script's text. INVALID_ARGUMENT names the option or word that cannot be said in it.
absl::StatusOr<std::string> RenderSbatch(const SbatchScript& script);

// "name=value" or "name", as people write them. INVALID_ARGUMENT says what is wrong with it: an
// unknown form, a character that is not harmless, or an option that Tunesmith sets itself, or that
// sbatch would take for one ("job-n").
absl::StatusOr<SbatchOption> ParseSbatchOption(std::string_view text);

// `word` as the shell reads it back unchanged. REQUIRES: it has no NUL.
std::string ShellQuote(std::string_view word);

}  // namespace tunesmith::server
