#pragma once

#include <signal.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "server/shim.h"

// How the nodes of a job whose nodes each run a shim come to one attempt. The first node's shim claims attempts (attempt_claim.h) and writes what is written; every other's takes part
// in an attempt once, by creating node-K.attempt-N exclusively: who is started anew, when its node or pod was lost, waits for the next attempt.
namespace tunesmith::server {

// "log/trainer.log" of the first node, "log/trainer-1.log" of the second.
std::string NodeLogFile(int64_t node_index);

// The first node's: waits until all others take part in the attempt, which it says on stderr. False: it was told to stop first. Returns too where a newer attempt is claimed. At once
// where there is one shim for all nodes.
bool AwaitNodes(const ShimOptions& options, const sigset_t& signals);

// Takes part in the attempt; false: this node does already.
absl::StatusOr<bool> TakePart(const ShimOptions& options);

}  // namespace tunesmith::server
