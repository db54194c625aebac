#include "server/node_member.h"

#include <cstdio>
#include <optional>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/attempt_claim.h"
#include "server/launch/sight.h"
#include "server/node_claim.h"
#include "server/rank_launch.h"
#include "server/trainer_process.h"

namespace tunesmith::server {
namespace {

class NodeMember {
 public:
  explicit NodeMember(const ShimOptions& options) : options_(options), signals_(BlockSignals()) {}

  absl::StatusOr<int> Run() {
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(std::optional<int> status, AwaitAttempt());
      if (!status) {
        TUNESMITH_ASSIGN_OR_RETURN(status, RunRanksOfNode());
      }
      if (status) return *status;
    }
  }

 private:
  // Sets the attempt that this node now takes part in and that runs; or how the job ended without it.
  absl::StatusOr<std::optional<int>> AwaitAttempt() {
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(options_.attempt, convert::NewestAttempt(options_.run_directory));
      // What cannot be read now is looked at again.
      const Sight sight = SightOf(options_.run_directory, options_.attempt).value_or(Sight());
      const bool is_ours = sight.has_claimer && sight.shim.cluster_job() == options_.cluster_job;
      if (is_ours && sight.exit && !MayGoOn(*sight.exit))
        return sight.exit->state() == v1::JOB_STATE_SUCCEEDED ? 0 : 1;
      if (is_ours && !sight.exit && options_.attempt != joined_) {
        TUNESMITH_ASSIGN_OR_RETURN(const bool takes_part, TakePart(options_));
        if (takes_part) joined_ = options_.attempt;
      }
      // The first node's shim says so when all nodes are there.
      if (is_ours && !sight.exit && options_.attempt == joined_ && joined_ != run_ &&
          sight.has_handle)
        return std::nullopt;
      const int signal = NextSignal(signals_);
      if (signal == SIGTERM || signal == SIGINT) return kSavedExitStatus;
    }
  }

  // What ends the process; nothing: what became of the attempt is yet to be seen.
  absl::StatusOr<std::optional<int>> RunRanksOfNode() {
    run_ = options_.attempt;
    const RankLaunch launch = LaunchOf(options_, RankCountOf(options_.run_directory));
    TUNESMITH_ASSIGN_OR_RETURN(
        const pid_t trainer,
        StartTrainer(options_, launch, NodeLogFile(options_.node_index).c_str()));
    const TrainerEnd end = WaitForTrainer(options_, trainer, launch.starter, signals_);
    if (end.was_told_to_stop) return kSavedExitStatus;
    const int killer = end.was_superseded ? 0 : KillerOf(end);
    if (killer == 0) return std::nullopt;
    std::fprintf(stderr, "tunesmith-shim: a rank of node %s was killed by signal %d\n",
                 StrCat(options_.node_index).c_str(), killer);
    return 128 + killer;
  }

  ShimOptions options_;
  const sigset_t signals_;
  int64_t joined_ = 0;  // the attempt that this process takes part in
  int64_t run_ = 0;     // the last one whose ranks it has started
};

}  // namespace

absl::StatusOr<int> RunNodeMember(const ShimOptions& options) {
  TUNESMITH_RETURN_IF_ERROR(
      MakeDirectories(convert::InDirectory(options.run_directory, convert::kLogDirectory)));
  return NodeMember(options).Run();
}

}  // namespace tunesmith::server
