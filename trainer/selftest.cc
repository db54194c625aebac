#include "trainer/selftest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>
#include <utility>

#include "common/median.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/program/build_program.h"
#include "trainer/job/session.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {
namespace {

// Tokens of a row follow t -> (3 t + 1) mod V within documents of 5 to 20 tokens that start anywhere: a rule that a model learns in some steps.
Batch MakeBatch(const SelfTestOptions& options, int64_t row_count, std::mt19937_64& random) {
  const int64_t vocab = options.model.vocab_size;
  Batch batch;
  batch.row_count = row_count;
  batch.context = options.context;
  for (int64_t row = 0; row < row_count; ++row) {
    int64_t start = 0, length = 0, token = 0;
    for (int64_t t = 0; t < options.context; ++t) {
      if (t == start + length) {
        start = t;
        length = 5 + static_cast<int64_t>(random() % 16);
        token = static_cast<int64_t>(random() % static_cast<uint64_t>(vocab));
      } else {
        token = (3 * token + 1) % vocab;
      }
      const bool last = t + 1 == start + length || t + 1 == options.context;
      batch.tokens.push_back(static_cast<int32_t>(token));
      batch.labels.push_back(last ? -1 : static_cast<int32_t>((3 * token + 1) % vocab));
      batch.positions.push_back(static_cast<int32_t>(t - start));
      batch.document_starts.push_back(static_cast<int32_t>(start));
      batch.valid_label_count += !last;
    }
  }
  return batch;
}

std::vector<Batch> MakeStep(const SelfTestOptions& options, std::mt19937_64& random) {
  std::vector<Batch> batches;
  for (int64_t i = 0; i < options.mix.accumulation_count; ++i) {
    batches.push_back(MakeBatch(options, options.mix.micro_batch, random));
  }
  return batches;
}

absl::StatusOr<planner::Program> ProgramOf(const OpContext& context,
                                           const SelfTestOptions& options) {
  const planner::Mix& mix = options.mix;
  const planner::Workload workload = {
      .context = options.context,
      .rows_per_step = mix.micro_batch * mix.accumulation_count * mix.data_parallel,
      .evaluates = false,
      .generates = false};
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateModelSpec(options.model));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateMix(mix, options.model.layer_count));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateWorkload(workload, options.model));
  return planner::BuildProgram(
      {.model = options.model, .workload = workload, .mix = mix, .backend = BackendOf(context)});
}

}  // namespace

planner::ModelSpec SelfTestModel() {
  return {.name = "selftest",
          .family = "llama",
          .layer_count = 2,
          .hidden_size = 64,
          .intermediate_size = 176,
          .head_count = 4,
          .kv_head_count = 2,
          .head_size = 16,
          .vocab_size = 512,
          .context_limit = 1024,
          .source = "made up for checks"};
}

absl::StatusOr<SelfTestResult> RunSelfTest(const OpContext& context,
                                           const SelfTestOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, ProgramOf(context, options));
  const auto weights = RandomModel(options.model, options.seed);
  TUNESMITH_ASSIGN_OR_RETURN(const auto session,
                             Session::Create(std::move(program), context, *weights, options.seed));
  std::mt19937_64 random(options.seed);
  SelfTestResult result;
  std::vector<double> seconds;
  for (int64_t step = 1; step <= options.step_count; ++step) {
    const std::vector<Batch> batches = MakeStep(options, random);
    const auto start = std::chrono::steady_clock::now();
    TUNESMITH_ASSIGN_OR_RETURN(
        const StepResult done,
        session->Step(batches,
                      {.learning_rate = 1e-3, .max_gradient_norm = 1.0, .optimizer_step = step}));
    // The first step loads kernels and picks matrix algorithms.
    if (step > 1) {
      seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    result.losses.push_back(done.mean_loss);
    result.gradient_norms.push_back(done.gradient_norm);
  }
  result.median_step_seconds = Median(std::move(seconds));
  const auto tokens = static_cast<double>(options.mix.micro_batch * options.mix.accumulation_count *
                                          options.context);
  if (result.median_step_seconds > 0) {
    result.tokens_per_second = tokens / result.median_step_seconds;
  }
  Arena& arena = session->executor().arena();
  result.planned_arena_bytes = arena.plan().device_bytes();
  TUNESMITH_ASSIGN_OR_RETURN(result.used_arena_bytes, arena.CountUsedBytes());
  return result;
}

absl::Status CompareLosses(const SelfTestResult& result, const SelfTestResult& reference,
                           double tolerance) {
  for (size_t i = 0; i < reference.losses.size(); ++i) {
    const double loss = i < result.losses.size() ? result.losses[i] : std::nan("");
    if (std::abs(loss - reference.losses[i]) <= tolerance) continue;
    return absl::DataLossError(StrCat("the loss of step ", i + 1, " is ", loss, ", on the CPU ",
                                      reference.losses[i], ": more than ", tolerance, " apart"));
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
