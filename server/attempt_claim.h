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

// An attempt that a shim may claim.
struct NextAttempt {
  int64_t number = 1;
  // The attempt before left no exit.json, so something of it may still run where nobody sees it.
  bool predecessor_may_run = false;
};

// The attempt that was asked for; where the same job of a cluster has claimed it before, the one after the
// job's newest. ALREADY_EXISTS: somebody else has it or a newer one, or the newest one has ended for
// good.
absl::StatusOr<NextAttempt> ChooseAttempt(const ShimOptions& options);

// What shim.json and the claim say: this process, and the trainer where it is started (else 0).
absl::StatusOr<v1::ShimHandle> HandleOf(const ShimOptions& options, pid_t trainer);

// Creates attempt-N exclusively. ALREADY_EXISTS: it, or a newer one, is there.
absl::Status ClaimAttempt(const ShimOptions& options);

// Whether a newer attempt has been claimed. (Where it cannot be told, no.)
bool IsSuperseded(const ShimOptions& options);

}  // namespace tunesmith::server
