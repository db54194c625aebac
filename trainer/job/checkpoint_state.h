#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/json.h"
#include "trainer/data/loader.h"
#include "trainer/job/run_history.h"

namespace tunesmith::trainer {

// What a checkpoint remembers beside tensors, so that a job that goes on does and tells what one that never stopped would.
struct CheckpointState {
  int64_t step = 0;  // optimizer steps done
  LoaderState loader;
  int64_t token_count = 0;  // trained on so far
  RunHistory history;
  std::optional<uint64_t> data_digest;         // DataSet's, of what was trained on
  std::optional<double> held_out_loss_before;  // the first step
  std::optional<double> last_loss;             // of step `step`

  bool operator==(const CheckpointState&) const = default;
};

nlohmann::json ToJson(const CheckpointState& state);

// Also of what earlier versions wrote: they kept no history, digest and losses, and a negative seed as an unsigned number. INVALID_ARGUMENT names `what` and the
// field.
absl::StatusOr<CheckpointState> CheckpointStateFromJson(const nlohmann::json& json,
                                                        std::string_view what);

}  // namespace tunesmith::trainer
