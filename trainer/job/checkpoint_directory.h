#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The directories of a run's checkpoints: step-N is a whole one, step-N.partial is being written, step-N.replaced was whole and makes room for another.
namespace tunesmith::trainer {

// The steps of the whole ones, in no order; none where the run has no directory of checkpoints yet. Errors of the file system otherwise: what cannot be listed
// is not "none".
absl::StatusOr<std::vector<int64_t>> CheckpointSteps(const std::string& run_directory);

// Where checkpoint `step` is written before it is whole.
std::string PartialCheckpoint(const std::string& run_directory, int64_t step);

// Puts the partial checkpoint `step` in its place. One of that step from before is moved aside first and removed last, so that at every moment one of
// the two is whole.
absl::Status FinishCheckpoint(const std::string& run_directory, int64_t step);

// Clears up after an attempt that was killed while it saved: what was moved aside and not replaced is whole again, the rest goes. REQUIRES: nobody saves
// now.
absl::Status RecoverCheckpoints(const std::string& run_directory);

}  // namespace tunesmith::trainer
