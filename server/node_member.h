#pragma once

#include "absl/status/statusor.h"
#include "server/shim.h"

namespace tunesmith::server {

// The shim of another node than the first. Waits for an attempt of the cluster's job that this node has no part in, starts its ranks when the first node's shim has started the attempt,
// and passes signals on to them; when the attempt has ended and may go on (MayGoOn), waits for the next one.
//
// The process's exit status: 0 where the job has succeeded, 1 where it has failed for good, 128 + N where signal N has killed a rank here, kSavedExitStatus where it was told to stop.
// Errors: the run directory cannot be written. REQUIRES: the process has one thread; options.node_index > 0.
absl::StatusOr<int> RunNodeMember(const ShimOptions& options);

}  // namespace tunesmith::server
