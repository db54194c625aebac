#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "tests/benchmarks/stopwatch.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Seconds of the project's own flash attention and of cuDNN's, forward and backward, causal, one document a row and packed, in bf16 on a CUDA device. One object
// for each shape and direction: "shape", "direction", "own_seconds", "own_flops_per_second" and either "cudnn_seconds", "cudnn_flops_per_second",
// "cudnn_workspace_bytes" and "own_over_cudnn", or "cudnn": why there is none. Rows are printed to stderr and told as they come; an error of `told` ends it. Flops are of what is seen: half of
// all pairs, where a row is one document.
absl::Status CompareAttentionEngines(
    const OpContext& context, Stopwatch& watch,
    absl::FunctionRef<absl::Status(const nlohmann::ordered_json& row)> told);

}  // namespace tunesmith::trainer
