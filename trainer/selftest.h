#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "planner/model/mix.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/op_context.h"

// Trains a random model on made-up data through the executor: the same numbers in on every device, so that devices can be compared, and no
// files, so that a bare GPU host can run it.
namespace tunesmith::trainer {

struct SelfTestOptions {
  planner::ModelSpec model;
  planner::Mix mix;
  int64_t context = 64;
  int64_t step_count = 10;
  uint64_t seed = 1;
};

struct SelfTestResult {
  std::vector<double> losses;  // of each step, before its update
  std::vector<double> gradient_norms;
  double median_step_seconds = 0;  // of all steps but the first
  double tokens_per_second = 0;
  int64_t planned_arena_bytes = 0;
  int64_t used_arena_bytes =
      0;  // bytes of the arena that hold something else than the canary at the end
};

// A Llama-style model of some 200 thousand parameters with grouped heads: what parity checks use.
planner::ModelSpec SelfTestModel();

// Errors: those of planner::BuildProgram and of Session.
absl::StatusOr<SelfTestResult> RunSelfTest(const OpContext& context,
                                           const SelfTestOptions& options);

// OK where every loss of `result` is within `tolerance` of the reference's; DATA_LOSS names the first step that is not, with both losses.
absl::Status CompareLosses(const SelfTestResult& result, const SelfTestResult& reference,
                           double tolerance);

// The command `selftest [--device cpu|cuda:N] [--compare cpu] [--model NAME] [--mix MIX] [--context N] [--steps N] [--seed N] [--threads N]`,
// without its name. Prints one JSON object to stdout. With --compare cpu the same model is trained on the CPU in fp32 and the losses have to
// agree, to 1e-4 nats in fp32 and 0.01 in bf16. INVALID_ARGUMENT names an option that is not understood.
absl::Status SelfTestCommand(absl::Span<const std::string> arguments);

}  // namespace tunesmith::trainer
