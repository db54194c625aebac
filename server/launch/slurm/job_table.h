#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// What Slurm's commands and files say of jobs, of old and new versions. Pure functions of their
// output.
namespace tunesmith::server {

struct SlurmJob {
  int64_t id = 0;
  std::string name;
  std::vector<std::string> states;  // upper case, at least one: the state and its flags
  std::string reason;               // "Resources", "" where there is none
  std::string description;          // "launch failed requeued held": a reason in full, "" often
  absl::Time start = absl::InfiniteFuture();  // began, or is expected to; infinite: not known
  int64_t exit_code = 0;
  int64_t signal = 0;
  std::string nodes;
};

// The output of `squeue --json`. Slurm 22.05 has plain numbers, a state as text and a wait status;
// 23.11 and later have {"set", "infinite", "number"}, a list of states and a composed exit code;
// versions between mix them (23.02 has a wait status in such a number), so each field is read in either form. INVALID_ARGUMENT: no such output.
absl::StatusOr<std::vector<SlurmJob>> ParseSqueueJson(const std::string& text);

// The words for sacct that ParseSacct reads, besides the selection of jobs.
std::vector<std::string> SacctFormat();

// The output of `sacct` with SacctFormat(). (Of 22.05's `sacct --json` the exit code of a failed job
// is 0.) Lines of another form are left out.
std::vector<SlurmJob> ParseSacct(std::string_view text);

// The file of JobCompType=jobcomp/filetxt: one line per end of a try, in their order. Lines of another
// form are left out.
std::vector<SlurmJob> ParseJobComp(std::string_view text);

}  // namespace tunesmith::server
