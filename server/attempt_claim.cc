#include "server/attempt_claim.h"

#include <unistd.h>

#include <cerrno>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/launch/sight.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

absl::StatusOr<NextAttempt> ChooseAttempt(const ShimOptions& options) {
  NextAttempt next{.number = options.attempt};
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t newest, convert::NewestAttempt(options.run_directory));
  if (newest < options.attempt) return next;
  const Sight sight = SightOf(options.run_directory, newest);
  if (options.cluster_job.empty() || sight.shim.cluster_job() != options.cluster_job) {
    return absl::AlreadyExistsError(
        StrCat("attempt ", newest, " of ", options.run_directory, " was started before"));
  }
  // The cluster has started its job again. (What it says of that is not asked: a controller that
  // crashed may have forgotten the first start.)
  next.predecessor_may_run = !sight.exit;
  if (sight.exit && sight.exit->state() != v1::JOB_STATE_CANCELLED) {
    return absl::AlreadyExistsError(StrCat("attempt ", newest, " of ", options.run_directory,
                                           " has ended: ", v1::JobState_Name(sight.exit->state()),
                                           "; `tunesmith jobs resume` starts a new one"));
  }
  if (newest >= kMostAttempts)
    return absl::AlreadyExistsError(StrCat("attempt ", newest, " was the last one"));
  next.number = newest + 1;
  return next;
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

}  // namespace tunesmith::server
