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

enum class SelfTestDocuments {
  kShort,   // of 5 to 20 tokens
  kFilled,  // as long as the row: what attention costs in rows that are packed full of text is less, as padding-free peers have it, more is not possible
};

// What runs before the steps that are timed: it loads kernels and picks matrix algorithms.
enum class SelfTestWarmUp {
  kNone,
  kMicroBatches,  // the first of each kind, on noise and without an update: quick where a step has many
  kStep,          // the first step, whose loss counts and whose time does not
};

struct SelfTestOptions {
  planner::ModelSpec model;
  planner::Mix mix;
  int64_t context = 64;
  int64_t step_count = 10;
  uint64_t seed = 1;
  SelfTestDocuments documents = SelfTestDocuments::kShort;
  SelfTestWarmUp warm_up = SelfTestWarmUp::kStep;
  bool noise_weights =
      false;  // trainer/noise_weights.h instead of a model that is drawn element by element
  bool counts_used_bytes = true;  // by copying the arena to the host in the end
  double most_seconds =
      0;  // of all steps: no other is begun after that, once one was timed; 0: no limit
};

struct SelfTestResult {
  std::vector<double> losses;  // of each step, before its update
  std::vector<double> gradient_norms;
  std::vector<double> step_seconds;  // that count
  double median_step_seconds = 0;
  double step_spread = 0;  // the longest less the shortest, over the median
  int64_t tokens_per_step = 0;
  double tokens_per_second = 0;
  double set_up_seconds = 0;  // until the first step begins
  int64_t planned_arena_bytes = 0;
  int64_t used_arena_bytes =
      0;  // bytes of the arena that hold something else than the canary at the end; 0: not counted
  int64_t pinned_bytes = 0;  // the host's arena
  // Of a GPU, all that is not free, the most after any step (trainer/device_use.h); 0 on the CPU.
  int64_t device_bytes = 0;
  int64_t peak_resident_bytes = 0;  // of this process, on the host
};

// Errors: those of planner::BuildProgram and of Session.
absl::StatusOr<SelfTestResult> RunSelfTest(const OpContext& context,
                                           const SelfTestOptions& options);

// OK where every loss of `result` is within `tolerance` of the reference's; DATA_LOSS names the first step that is not, with both losses.
absl::Status CompareLosses(const SelfTestResult& result, const SelfTestResult& reference,
                           double tolerance);

// The command `selftest [--device cpu|cuda:N] [--compare cpu] [--model NAME] [--mix MIX] [--context N] [--steps N] [--seed N] [--threads N]
// [--documents short|filled] [--weights drawn|noise] [--warm-up none|micro|step] [--count-used yes|no] [--seconds S]`, without its name. Prints one JSON object to stdout. With --compare cpu the same model is trained on the CPU in fp32 and the losses have to
// agree, to 1e-4 nats in fp32 and 0.01 in bf16. INVALID_ARGUMENT names an option that is not understood.
absl::Status SelfTestCommand(absl::Span<const std::string> arguments);
// The same as a process: tells stderr what went wrong, and returns the exit status.
int SelfTestMain(const std::vector<std::string>& arguments);

}  // namespace tunesmith::trainer
