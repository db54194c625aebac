#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/command.h"
#include "server/launch/hold_off.h"
#include "server/launch/slurm/job_table.h"

// Slurm's commands, called sparingly: the queue is read once for all jobs, and a controller that does
// not answer is left alone for a while.
namespace tunesmith::server {

// Errors of Slurm that may pass are UNAVAILABLE: the controller does not answer, is starting, or has
// too many of the user's jobs. Others are FAILED_PRECONDITION, with what the command wrote.
absl::Status StatusOf(std::string_view command, const CommandResult& result);

// A command of Slurm. Variables of this process that change what Slurm's commands do are kept from it: SBATCH_*
// would override the script, SQUEUE_* the queue's form.
absl::StatusOr<CommandResult> RunSlurm(std::vector<std::string> arguments, absl::Duration timeout,
                                       const std::string& directory = "",
                                       const std::string& input = "");

// The queue as it was a moment ago. Not thread-safe.
class SlurmQueue {
 public:
  // Reads the queue at most once in `interval`, unless a caller asks for something fresher.
  SlurmQueue(absl::Duration interval, absl::Duration timeout)
      : interval_(interval), timeout_(timeout) {}

  // The job as it was at most `age` ago; none where the queue does not have it (any more). UNAVAILABLE:
  // Slurm does not answer; it is then not asked again before the interval has passed.
  absl::StatusOr<std::optional<SlurmJob>> Find(int64_t id, absl::Duration age);

  // The newest job of this name that was queued or running a moment ago; the newest ended one where
  // there is no other.
  absl::StatusOr<std::optional<SlurmJob>> FindByName(const std::string& name);

  // How a job ended that has left the queue, as accounting or the file of completed jobs says; none:
  // neither knows that it has. UNAVAILABLE as of Find.
  absl::StatusOr<std::optional<SlurmJob>> FindEnded(int64_t id);

 private:
  absl::Status Refresh(absl::Duration age);
  absl::Status ReadQueue();
  absl::StatusOr<std::optional<SlurmJob>> AskAccounting(int64_t id);
  absl::Status FindJobCompFile();

  const absl::Duration interval_;
  const absl::Duration timeout_;
  std::map<int64_t, SlurmJob> jobs_;
  absl::Time read_ = absl::InfinitePast();
  HoldOff squeue_, sacct_, scontrol_;
  std::optional<std::string> job_comp_file_;  // empty: there is none
};

}  // namespace tunesmith::server
