#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/data/loader.h"
#include "trainer/job/session.h"

// A checkpoint is the directory checkpoints/step-N of a run:
//   state.safetensors  every trainable weight, its moments and its master copy, by name; of N ranks, state-r-of-N.safetensors with what rank r
//                      saves of them: a tensor, or a part of it as "name@first element". Any number of ranks may load it.
//   state.json         step, data position, tokens trained on, the semantic part of the mix
// It is written under a temporary name, synced and renamed, so that step-N is whole or absent. Placement may change between saving and loading.
namespace tunesmith::trainer {

struct CheckpointState {
  int64_t step = 0;  // optimizer steps done
  LoaderState loader;
  int64_t token_count = 0;  // trained on so far
};

// Saves into `run_directory`, then removes older checkpoints. Returns the path relative to the run directory. Errors of the file system: the
// checkpoints before stay.
absl::StatusOr<std::string> SaveCheckpoint(const std::string& run_directory, Session& session,
                                           const CheckpointState& state);

// The step of the newest whole checkpoint; none when there is none.
std::optional<int64_t> NewestCheckpoint(const std::string& run_directory);

// Loads checkpoint `step` into `session`. FAILED_PRECONDITION lists what differs when it belongs to another model or method.
absl::StatusOr<CheckpointState> LoadCheckpoint(const std::string& run_directory, int64_t step,
                                               Session& session);

}  // namespace tunesmith::trainer
