#include "server/trainer_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <optional>
#include <vector>

#include "absl/time/clock.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/attempt_claim.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kFenceCheckInterval = absl::Seconds(1);
constexpr absl::Duration kTimeForRemains = absl::Seconds(10);

// Reaps every child that has ended, adopted ones too. The wait status of the trainer when it is
// among them.
std::optional<int> Reap(pid_t trainer) {
  std::optional<int> result;
  int status = 0;
  for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
    if (pid == trainer) result = status;
  }
  return result;
}

// Asks all ranks to save and end. mpirun passes SIGUSR1 on to them, which the trainer takes as it does SIGTERM; SIGTERM would be taken by mpirun as an order
// to kill them.
void Stop(pid_t trainer, RankStarter starter) {
  if (starter == RankStarter::kMpirun) {
    kill(trainer, SIGUSR1);
  } else {
    kill(-trainer, SIGTERM);
  }
}

// Kills whatever the attempt has left behind, in whatever group: ranks that mpirun started become children of this process when mpirun ends.
void KillRemains() {
  const absl::Time end = SteadyNow() + kTimeForRemains;
  for (std::vector<pid_t> left = ChildrenOf(getpid()); !left.empty() && SteadyNow() < end;
       left = ChildrenOf(getpid())) {
    for (const pid_t pid : left) kill(pid, SIGKILL);
    absl::SleepFor(absl::Milliseconds(1));
    (void)Reap(0);
  }
}

// Looks now and then whether a newer attempt was claimed.
class Fence {
 public:
  explicit Fence(const ShimOptions& options) : options_(options) {}

  bool IsDown() {
    if (options_.cluster_job.empty() || SteadyNow() < next_) return false;
    next_ = SteadyNow() + kFenceCheckInterval;
    return IsSuperseded(options_);
  }

 private:
  const ShimOptions& options_;
  absl::Time next_ = absl::InfinitePast();
};

TrainerEnd WaitForEnd(const ShimOptions& options, pid_t trainer, RankStarter starter,
                      const sigset_t& signals) {
  TrainerEnd end{.starter = starter};
  Fence fence(options);
  absl::Time kill_at = absl::InfiniteFuture();
  while (true) {
    const int signal = NextSignal(signals);
    if (const auto status = Reap(trainer)) {
      end.wait_status = *status;
      return end;
    }
    const bool nearly_up = signal == SIGUSR1 && !options.cluster_job.empty();
    if ((signal == SIGTERM || signal == SIGINT || nearly_up) && !end.was_told_to_stop) {
      Stop(trainer, starter);
      end.was_told_to_stop = true;
      end.time_was_nearly_up = nearly_up;
      kill_at = SteadyNow() + options.grace;
    }
    // Somebody wants it to end, not to go on elsewhere.
    if (signal == SIGTERM || signal == SIGINT) end.time_was_nearly_up = false;
    end.was_superseded |= fence.IsDown();
    if (SteadyNow() >= kill_at || end.was_superseded) kill(-trainer, SIGKILL);
  }
}

}  // namespace

sigset_t BlockSignals() {
  // What the trainer leaves behind becomes our child, and is reaped.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int NextSignal(const sigset_t& signals) {
  const timespec timeout = absl::ToTimespec(kTick);
  const int signal = sigtimedwait(&signals, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

absl::StatusOr<pid_t> StartTrainer(const ShimOptions& options, const RankLaunch& launch,
                                   const char* log_file) {
  return Spawn({.arguments = launch.arguments,
                .environment = {StrCat("TUNESMITH_ATTEMPT=", options.attempt)},
                .output_path = InDirectory(options.run_directory, log_file),
                .new_group = true,
                .dies_with_parent = true});
}

TrainerEnd WaitForTrainer(const ShimOptions& options, pid_t trainer, RankStarter starter,
                          const sigset_t& signals) {
  const TrainerEnd end = WaitForEnd(options, trainer, starter, signals);
  kill(-trainer, SIGKILL);  // children that it left in its group
  KillRemains();
  return end;
}

// What starts ranks tells of a rank's with its exit status.
int KillerOf(const TrainerEnd& end) {
  if (WIFSIGNALED(end.wait_status)) return WTERMSIG(end.wait_status);
  const int status = WEXITSTATUS(end.wait_status);
  return end.starter != RankStarter::kNone && status > 128 ? status - 128 : 0;
}

}  // namespace tunesmith::server
