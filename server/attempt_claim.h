#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/shim.h"
#include "tunesmith/v1/run_directory.pb.h"

// Which attempt a shim runs, and the files by which it says so.
namespace tunesmith::server {

// What a job of a cluster that was started again by the cluster itself is tried at most: a job whose
// time limit is too short for a single step would go on for ever.
inline constexpr int64_t kMostAttempts = 100;

// The attempt that was asked for; where the same job of a cluster has claimed it before, the one after the
// job's newest. ALREADY_EXISTS: somebody else has it or a newer one, or the newest one has ended for
// good.
absl::StatusOr<int64_t> ChooseAttempt(const ShimOptions& options);

// What shim.json and the claim say: this process, and the trainer where it is started (else 0).
absl::StatusOr<v1::ShimHandle> HandleOf(const ShimOptions& options, pid_t trainer);

// Creates attempt-N exclusively. ALREADY_EXISTS: it, or a newer one, is there.
absl::Status ClaimAttempt(const ShimOptions& options);

// Whether a newer attempt has been claimed. (Where it cannot be told, no.)
bool IsSuperseded(const ShimOptions& options);

// Waits until all earlier attempts that ran in jobs of a cluster have ended: an exit of each is kept or lies there, or its shim was on this
// host and is gone. Ends after the fence delay, in which they see our claim and end, and notes them as lost; or when we are superseded. Says on stderr for
// what it waits. REQUIRES: the attempt is claimed.
absl::Status AwaitEarlierAttempts(const ShimOptions& options);

// Puts the exit.json of an earlier attempt in log/exit-N.json, where exits are kept: one that is there from now on is ours.
absl::Status PutOldExitAway(const ShimOptions& options);

// What ends an attempt that a newer one has superseded, when nothing of it runs any more: its exit is kept, for which the newer one waits.
// ALREADY_EXISTS, saying so; else it cannot be written.
absl::Status Superseded(const ShimOptions& options);

}  // namespace tunesmith::server
