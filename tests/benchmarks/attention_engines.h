#pragma once

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "tests/benchmarks/stopwatch.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Seconds of the project's own flash attention and of cuDNN's, forward and backward, causal, one document a row and packed, in bf16 on a CUDA device. One object
// for each shape and direction: "shape", "direction", "own_seconds", "own_flops_per_second" and either "cudnn_seconds", "cudnn_flops_per_second",
// "cudnn_workspace_bytes" and "own_over_cudnn", or "cudnn": why there is none. Rows are printed to stderr as they come. Flops are of what is seen: half of all pairs,
// where a row is one document.
absl::StatusOr<nlohmann::ordered_json> CompareAttentionEngines(const OpContext& context,
                                                               Stopwatch& watch);

}  // namespace tunesmith::trainer
