#include "server/attempt_claim.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/launch/sight.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

constexpr absl::Duration kLookInterval = absl::Milliseconds(200);

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string KeptExit(const ShimOptions& options, int64_t attempt) {
  return StrCat(InDirectory(options.run_directory, convert::kLogDirectory), "/exit-", attempt,
                ".json");
}

// Unless there is one.
absl::Status KeepExit(const ShimOptions& options, int64_t attempt, v1::JobExit exit) {
  const std::string path = KeptExit(options, attempt);
  if (access(path.c_str(), F_OK) == 0) return absl::OkStatus();
  exit.set_attempt(attempt);
  return convert::WriteJsonFile(path, exit);
}

// A shim's end is the end of all that it ran on its host; on other nodes ranks may outlive it. (Hosts and containers may share a name.)
bool IsKnownGone(const ShimOptions& options, const Sight& sight) {
  const std::string& space = sight.shim.process_space();
  return options.node_count <= 1 && !space.empty() && space == ProcessSpace() &&
         !IsAlive(sight.shim.pid(), sight.shim.start_ticks());
}

// Something of it may run where nobody sees it. (Of an attempt on its own host the server knows that it
// has ended before it starts another.)
bool MayRun(const ShimOptions& options, int64_t attempt) {
  if (access(KeptExit(options, attempt).c_str(), F_OK) == 0) return false;
  const absl::StatusOr<Sight> sight = SightOf(options.run_directory, attempt);
  if (!sight.ok()) return true;
  return !sight->exit && !sight->shim.cluster_job().empty() && !IsKnownGone(options, *sight);
}

std::vector<int64_t> EarlierThatMayRun(const ShimOptions& options) {
  std::vector<int64_t> attempts;
  for (int64_t attempt = 1; attempt < options.attempt; ++attempt) {
    if (MayRun(options, attempt)) attempts.push_back(attempt);
  }
  return attempts;
}

v1::JobExit LostExit(const ShimOptions& options) {
  v1::JobExit exit;
  exit.set_state(v1::JOB_STATE_FAILED);
  exit.set_cause(v1::END_CAUSE_LOST);
  exit.set_reason(StrCat("left no word within ", absl::FormatDuration(options.fence_delay),
                         " after attempt ", options.attempt, " was claimed"));
  return exit;
}

}  // namespace

absl::StatusOr<int64_t> ChooseAttempt(const ShimOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t newest, convert::NewestAttempt(options.run_directory));
  if (newest < options.attempt) return options.attempt;
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(options.run_directory, newest));
  if (options.cluster_job.empty() || sight.shim.cluster_job() != options.cluster_job) {
    return absl::AlreadyExistsError(
        StrCat("attempt ", newest, " of ", options.run_directory, " was started before"));
  }
  // The cluster has started its job again. (What it says of that is not asked: a controller that
  // crashed may have forgotten the first start.)
  if (sight.exit && !MayGoOn(*sight.exit)) {
    return absl::AlreadyExistsError(StrCat("attempt ", newest, " of ", options.run_directory,
                                           " has ended: ", v1::JobState_Name(sight.exit->state()),
                                           "; `tunesmith jobs resume` starts a new one"));
  }
  if (newest >= kMostAttempts)
    return absl::AlreadyExistsError(StrCat("attempt ", newest, " was the last one"));
  return newest + 1;
}

absl::StatusOr<v1::ShimHandle> HandleOf(const ShimOptions& options, pid_t trainer) {
  v1::ShimHandle handle;
  handle.set_pid(getpid());
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t ticks, StartTicks(getpid()));
  handle.set_start_ticks(ticks);
  handle.set_attempt(options.attempt);
  handle.set_trainer_pid(trainer);
  // A trainer that has ended already has no start time, and nobody needs to find it.
  if (trainer > 0) handle.set_trainer_start_ticks(StartTicks(trainer).value_or(0));
  handle.set_cluster_job(options.cluster_job);
  handle.set_host(HostName());
  handle.set_process_space(ProcessSpace());
  return handle;
}

// The claim says who made it from the moment at which it is there: it is written under another
// name and linked, which fails where the name is taken, on network file systems too.
absl::Status ClaimAttempt(const ShimOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t newest, convert::NewestAttempt(options.run_directory));
  if (newest >= options.attempt) {
    return absl::AlreadyExistsError(
        StrCat("attempt ", newest, " of ", options.run_directory, " was started before"));
  }
  const std::string path =
      InDirectory(options.run_directory, convert::AttemptFile(options.attempt));
  const std::string draft =
      InDirectory(options.run_directory, StrCat("claim-", HostName(), "-", getpid()));
  TUNESMITH_ASSIGN_OR_RETURN(const v1::ShimHandle handle, HandleOf(options, 0));
  TUNESMITH_RETURN_IF_ERROR(convert::WriteJsonFile(draft, handle));
  const bool claimed = link(draft.c_str(), path.c_str()) == 0;
  const int error = errno;
  unlink(draft.c_str());
  if (claimed) return absl::OkStatus();
  return absl::ErrnoToStatus(error, StrCat("cannot create ", path));
}

bool IsSuperseded(const ShimOptions& options) {
  return convert::NewestAttempt(options.run_directory).value_or(0) > options.attempt;
}

absl::Status AwaitEarlierAttempts(const ShimOptions& options) {
  const absl::Time end = SteadyNow() + options.fence_delay;
  std::vector<int64_t> left = EarlierThatMayRun(options);
  if (!left.empty()) {
    std::fprintf(stderr,
                 "tunesmith-shim: attempt %s waits %s at most for attempt %s, of which no exit is "
                 "known\n",
                 StrCat(options.attempt).c_str(), absl::FormatDuration(options.fence_delay).c_str(),
                 absl::StrJoin(left, ", ").c_str());
  }
  while (!left.empty() && SteadyNow() < end && !IsSuperseded(options)) {
    absl::SleepFor(kLookInterval);
    left = EarlierThatMayRun(options);
  }
  if (IsSuperseded(options)) return absl::OkStatus();
  for (const int64_t attempt : left)
    TUNESMITH_RETURN_IF_ERROR(KeepExit(options, attempt, LostExit(options)));
  return absl::OkStatus();
}

absl::Status PutOldExitAway(const ShimOptions& options) {
  v1::ShimHandle shim;  // of the attempt that the exit.json beside it is of
  (void)convert::ReadJsonFile(InDirectory(options.run_directory, convert::kShimFile), &shim,
                              convert::UnknownFields::kIgnore);
  const std::string from = InDirectory(options.run_directory, convert::kExitFile);
  const std::string to =
      KeptExit(options, shim.attempt() > 0 ? shim.attempt() : options.attempt - 1);
  if (rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, StrCat("cannot move ", from, " to ", to));
}

absl::Status Superseded(const ShimOptions& options) {
  v1::JobExit exit;
  exit.set_state(v1::JOB_STATE_CANCELLED);
  exit.set_reason(StrCat("a newer attempt than ", options.attempt, " of ", options.run_directory,
                         " was started; this one was ended"));
  TUNESMITH_RETURN_IF_ERROR(KeepExit(options, options.attempt, exit));
  return absl::AlreadyExistsError(exit.reason());
}

}  // namespace tunesmith::server
