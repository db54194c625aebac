#pragma once

#include "absl/status/statusor.h"
#include "tunesmith/v1/runner.pb.h"

// The runner's side of runner.proto: a shim that whoever is let into a socket may have started, for one attempt and for nothing else.
namespace tunesmith::server {

// The request that comes on the connection. PERMISSION_DENIED: the other side is neither root nor this process's user; UNAVAILABLE: it says nothing for ten seconds;
// INVALID_ARGUMENT: no request, or one that names no run directory or no attempt.
absl::StatusOr<v1::RunAttemptRequest> TakeRunAttemptRequest(int connection);

// tunesmith-shim runner --trainer PATH, with the connection as stdin: answers, then runs the attempt with the run directory's shim.log as stdout and stderr. The exit status: 0: the
// attempt ended (see exit.json); 1: it was not run, and the answer, or shim.log, says why. REQUIRES: the process has one thread.
int RunnerMain(int argc, char** argv);

}  // namespace tunesmith::server
