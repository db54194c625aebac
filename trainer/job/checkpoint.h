#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/job/checkpoint_state.h"
#include "trainer/job/session.h"

// A checkpoint is the directory checkpoints/step-N of a run:
//   state.safetensors  every trainable weight, its moments and its master copy, by name; of N ranks, state-r-of-N.safetensors with what rank r
//                      saves of them: a tensor, or a part of it as "name@first element". Any number of ranks may load it.
//   state.json         CheckpointState, and the semantic part of the mix
// It is written under a temporary name, synced and renamed, so that step-N is whole or absent. Placement may change between saving and loading.
namespace tunesmith::trainer {

// Which checkpoints stay when one is saved.
struct KeptCheckpoints {
  int64_t newest_count = 1;     // >= 1, the one that is saved included
  std::optional<int64_t> best;  // the step of one that stays beside them
};

// Saves into `run_directory`, then removes the checkpoints that are not to be kept. Returns the path relative to the run directory. Errors of the file system: the
// checkpoints before stay.
absl::StatusOr<std::string> SaveCheckpoint(const std::string& run_directory, Session& session,
                                           const CheckpointState& state,
                                           const KeptCheckpoints& kept = {});

// The step of the newest whole checkpoint; none when there is none. Errors of the file system: whether there is one is then not known.
absl::StatusOr<std::optional<int64_t>> NewestCheckpoint(const std::string& run_directory);

// Loads checkpoint `step` into `session`. FAILED_PRECONDITION lists what differs when it belongs to another model or method.
absl::StatusOr<CheckpointState> LoadCheckpoint(const std::string& run_directory, int64_t step,
                                               Session& session);

}  // namespace tunesmith::trainer
