#include "server/shim.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "absl/time/clock.h"
#include "common/command.h"
#include "common/file.h"
#include "common/mpi_launch.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/attempt_claim.h"
#include "server/fail_point.h"
#include "server/job_exit.h"
#include "server/node_claim.h"
#include "server/process.h"
#include "server/rank_launch.h"
#include "server/trainer_process.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

constexpr absl::Duration kRequeueTimeout = absl::Seconds(30);

absl::Status WriteHandle(const ShimOptions& options, pid_t trainer) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::ShimHandle handle, HandleOf(options, trainer));
  return convert::WriteJsonFile(InDirectory(options.run_directory, convert::kShimFile), handle);
}

std::string EndReason(const ShimOptions& options, const TrainerEnd& end) {
  const std::string log =
      StrCat("; see ", InDirectory(options.run_directory, convert::kTrainerLogFile));
  if (const int killer = KillerOf(end); killer != 0) {
    const std::string killed =
        StrCat(end.starter != RankStarter::kNone ? "a rank of the trainer" : "the trainer",
               " was killed by signal ", SignalName(killer));
    if (end.was_told_to_stop) return StrCat(killed, " after it was told to stop", log);
    // The kernel kills with SIGKILL when memory runs out, and the trainer cannot say so itself.
    const char* hint =
        killer == SIGKILL ? ", perhaps because the host ran out of memory (see dmesg)" : "";
    return StrCat(killed, hint, log);
  }
  return StrCat("the trainer ended with status ", WEXITSTATUS(end.wait_status),
                " and left no exit.json", log);
}

v1::JobExit ExitOf(const ShimOptions& options, const TrainerEnd& end) {
  v1::JobExit exit;
  const int killer = KillerOf(end);
  exit.set_exit_code(killer != 0 ? 128 + killer : WEXITSTATUS(end.wait_status));
  exit.set_signal(killer);
  exit.set_reason(EndReason(options, end));
  exit.set_state(end.was_told_to_stop ? v1::JOB_STATE_CANCELLED : v1::JOB_STATE_FAILED);
  // Who told it, and why, the server knows.
  if (!end.was_told_to_stop)
    exit.set_cause(killer != 0 ? v1::END_CAUSE_KILLED : v1::END_CAUSE_TRAINER_FAILED);
  v1::Heartbeat heartbeat;
  if (convert::ReadJsonFile(InDirectory(options.run_directory, convert::kHeartbeatFile), &heartbeat)
          .ok()) {
    exit.set_last_step(heartbeat.step());
  }
  return exit;
}

absl::Status WriteExit(const ShimOptions& options, v1::JobExit exit) {
  const std::string path = InDirectory(options.run_directory, convert::kExitFile);
  if (access(path.c_str(), F_OK) == 0) return absl::OkStatus();  // the trainer's own
  exit.set_attempt(options.attempt);
  *exit.mutable_end_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  return convert::WriteJsonFile(path, exit);
}

// The cluster may end this process at any moment from here on: the job is then waiting again.
void QueueAgain(const ShimOptions& options) {
  const auto done = RunCommand({.arguments = options.requeue_command,
                                .input = {},
                                .directory = {},
                                .hidden_prefixes = {},
                                .timeout = kRequeueTimeout});
  if (done.ok() && done->status == 0) return;
  // The server queues it again instead, as a new job of the cluster.
  std::fprintf(stderr, "tunesmith-shim: %s failed: %s\n", options.requeue_command[0].c_str(),
               done.ok() ? done->errors.c_str() : std::string(done.status().message()).c_str());
}

v1::JobExit NotStarted(const absl::Status& status) {
  v1::JobExit exit = ExitFor(v1::END_CAUSE_NOT_STARTED, std::string(status.message()));
  exit.set_exit_code(127);
  return exit;
}

// On several nodes ranks need something that starts them there.
absl::Status CheckLaunch(const ShimOptions& options, const RankLaunch& launch, int64_t rank_count) {
  if (options.node_count <= 1 || rank_count <= 1 || launch.starter != RankStarter::kNone)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the job has ", options.node_count, " nodes, and ", MpirunNeeds(),
             "; install both on every node, or plan for one node"));
}

absl::StatusOr<v1::JobExit> ReadExit(const ShimOptions& options) {
  v1::JobExit exit;
  TUNESMITH_RETURN_IF_ERROR(
      convert::ReadJsonFile(InDirectory(options.run_directory, convert::kExitFile), &exit,
                            convert::UnknownFields::kIgnore));
  return exit;
}

absl::StatusOr<v1::JobExit> EndWithoutStart(const ShimOptions& options,
                                            const absl::Status& status) {
  TUNESMITH_RETURN_IF_ERROR(WriteExit(options, NotStarted(status)));
  return ReadExit(options);
}

// It was told to stop while it waited for the other nodes.
absl::StatusOr<v1::JobExit> EndBeforeStart(const ShimOptions& options) {
  v1::JobExit exit;
  exit.set_state(v1::JOB_STATE_CANCELLED);
  exit.set_reason("told to stop before all of its nodes were there");
  TUNESMITH_RETURN_IF_ERROR(WriteExit(options, exit));
  return ReadExit(options);
}

// REQUIRES: the attempt is claimed.
absl::StatusOr<v1::JobExit> RunClaimed(const ShimOptions& options, const sigset_t& signals) {
  const bool nodes_are_here = AwaitNodes(options, signals);
  if (IsSuperseded(options)) return Superseded(options);
  TUNESMITH_RETURN_IF_ERROR(PutOldExitAway(options));
  TUNESMITH_RETURN_IF_ERROR(WriteHandle(options, 0));
  if (!nodes_are_here) return EndBeforeStart(options);
  const int64_t rank_count = RankCountOf(options.run_directory);
  const RankLaunch launch = LaunchOf(options, rank_count);
  if (const absl::Status status = CheckLaunch(options, launch, rank_count); !status.ok())
    return EndWithoutStart(options, status);
  const absl::StatusOr<pid_t> trainer = StartTrainer(options, launch, convert::kTrainerLogFile);
  if (!trainer.ok()) return EndWithoutStart(options, trainer.status());
  FailPoint("shim_started");
  const absl::Status handle_written = WriteHandle(options, *trainer);
  if (!handle_written.ok()) kill(-*trainer, SIGKILL);  // nobody could stop it later
  const TrainerEnd end = WaitForTrainer(options, *trainer, launch.starter, signals);
  if (end.was_superseded || (!options.cluster_job.empty() && IsSuperseded(options)))
    return Superseded(options);
  FailPoint("shim_ended");
  TUNESMITH_RETURN_IF_ERROR(WriteExit(options, ExitOf(options, end)));
  TUNESMITH_RETURN_IF_ERROR(handle_written);
  TUNESMITH_ASSIGN_OR_RETURN(const v1::JobExit exit, ReadExit(options));
  if (end.time_was_nearly_up && exit.state() == v1::JOB_STATE_CANCELLED &&
      !options.requeue_command.empty() && options.attempt < kMostAttempts)
    QueueAgain(options);
  return exit;
}

}  // namespace

bool MayGoOn(const v1::JobExit& exit) {
  return exit.state() == v1::JOB_STATE_CANCELLED || exit.cause() == v1::END_CAUSE_NODE_FAILED;
}

absl::StatusOr<v1::JobExit> RunShim(const ShimOptions& asked) {
  const sigset_t signals = BlockSignals();
  TUNESMITH_RETURN_IF_ERROR(
      MakeDirectories(InDirectory(asked.run_directory, convert::kLogDirectory)));
  ShimOptions options = asked;
  TUNESMITH_ASSIGN_OR_RETURN(options.attempt, ChooseAttempt(asked));
  TUNESMITH_RETURN_IF_ERROR(ClaimAttempt(options));
  FailPoint("shim_claimed");
  if (!options.cluster_job.empty()) TUNESMITH_RETURN_IF_ERROR(AwaitEarlierAttempts(options));
  return RunClaimed(options, signals);
}

}  // namespace tunesmith::server
