#include "tests/benchmarks/accuracy_axes.h"

#include <algorithm>

#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith {
namespace {

using planner::AttentionKernel;
using planner::Method;
using planner::OptimizerState;
using planner::Rung;

const std::vector<Method>& Methods() {
  static const auto* const methods =
      new std::vector<Method>{Method::kFull, Method::kLora, Method::kLora, Method::kQlora};
  return *methods;
}

PointAxes OfCpus() {
  return {.models = {{"SmolLM2-135M", 30},
                     {"SmolLM2-360M", 32},
                     {"llama-160m", 12},
                     {"MPT-125m", 12},
                     {"Qwen2.5-0.5B", 6},
                     {"Qwen3-0.6B", 6},
                     {"phi-1_5", 4},
                     {"Gemma-2-2b", 2},
                     {"60M", 100}},
          .contexts = {64, 96, 128, 256, 384, 512, 1024, 2048},
          .micro_batches = {1, 1, 2, 4},
          .accumulations = {1, 1, 2, 4},
          .rungs = {Rung::kKeep, Rung::kKeep, Rung::kActivation, Rung::kNorms, Rung::kGateUp,
                    Rung::kBlock},
          .states = {OptimizerState::kFp32},
          .precision = planner::Precision::kFp32,
          .least_seconds = 0.05,
          .most_seconds = 3.0,
          .most_arena_bytes = 3 * kGiB,
          .most_pinned_bytes = 3 * kGiB,
          .group_bytes = 8 * kGiB,
          .measures_pace = true};
}

PointAxes OfCpusInBf16() {
  PointAxes axes = OfCpus();
  axes.states = {OptimizerState::kFp32, OptimizerState::kBf16};
  axes.attention = {AttentionKernel::kFlash};  // the other is not built for bf16
  axes.precision = planner::Precision::kBf16;
  return axes;
}

// Models that people fine-tune on one GPU, other than the one whose shapes the calibration runs (deploy/bundle/gpu-check). A point takes six steps and some tenths of a
// second to set up.
PointAxes OfGpus() {
  return {.models = {{"Qwen2.5-0.5B", 24},
                     {"Qwen2.5-0.5B", 6},
                     {"Qwen2.5-1.5B", 14},
                     {"Qwen2.5-3B", 8},
                     {"Qwen2.5-7B", 4},
                     {"Llama-3.2-1B", 16},
                     {"Llama-3.2-3B", 8},
                     {"Llama-3.1-8B", 2},
                     {"Llama-3.1-8B", 4},
                     {"Qwen3-8B", 3},
                     {"Mistral-7B-Instruct-v0.3", 4},
                     {"SmolLM2-1.7B", 8}},
          .contexts = {512, 1024, 2048, 4096, 8192, 16384, 32768, 32768},
          .micro_batches = {1, 1, 2, 4},
          .accumulations = {1, 1, 2, 4},
          .rungs = {Rung::kKeep, Rung::kKeep, Rung::kActivation, Rung::kNorms, Rung::kGateUp,
                    Rung::kBlock, Rung::kHost},
          .states = {OptimizerState::kFp32, OptimizerState::kBf16},
          .precision = planner::Precision::kBf16,
          .least_seconds = 0.02,
          .most_seconds = 1.5,
          .most_arena_bytes = 28 * kGiB,
          .most_pinned_bytes = 2 * kGiB,
          .group_bytes = 56 * kGiB,
          .measures_pace = true};
}

// An emulated device takes seconds for what a device takes microseconds for.
PointAxes OfEmulation() {
  PointAxes axes = OfGpus();
  axes.models = {{"selftest", 2}};
  axes.contexts = {16, 32};
  axes.micro_batches = axes.accumulations = {1};
  axes.least_seconds = 0;
  axes.measures_pace = false;
  return axes;
}

}  // namespace

absl::StatusOr<PointAxes> AxesOf(std::string_view name) {
  if (name == "cpu") return OfCpus();
  if (name == "cpu-bf16") return OfCpusInBf16();
  if (name == "gpu") return OfGpus();
  if (name == "tiny") return OfEmulation();
  return absl::InvalidArgumentError(
      StrCat("there are no points '", name, "': give cpu, cpu-bf16, gpu or tiny"));
}

// One value is no draw, so that an axis that a device does not have changes none of the others.
template <typename T>
T PointDraws::Of(const std::vector<T>& values) {
  if (values.size() == 1) return values[0];
  return values[static_cast<size_t>(
      RandomBelow(seed_, next_++, static_cast<int64_t>(values.size())))];
}

absl::StatusOr<MeasuredStep> PointDraws::Next(const PointAxes& axes) {
  static const std::vector<int64_t> kRanks = {4, 8, 16, 64};
  static const std::vector<planner::LossKernel> kLosses = {planner::LossKernel::kFull,
                                                           planner::LossKernel::kChunked};
  const ModelChoice choice = Of(axes.models);
  TUNESMITH_ASSIGN_OR_RETURN(const planner::ModelSpec model, ModelOf(choice.name));
  MeasuredStep step = {.model = choice.name,
                       .layer_count = std::min(model.layer_count, choice.layer_count)};
  planner::Mix mix = {.method = Of(Methods()),
                      .lora = {.rank = Of(kRanks)},
                      .precision = axes.precision,
                      .attention = Of(axes.attention),
                      .loss = Of(kLosses),
                      .micro_batch = Of(axes.micro_batches),
                      .accumulation_count = Of(axes.accumulations)};
  mix.recompute[static_cast<size_t>(Of(axes.rungs))] = step.layer_count / 2;
  mix.recompute[0] += step.layer_count - step.layer_count / 2;
  step.context = std::min(Of(axes.contexts), model.context_limit);
  const OptimizerState state = Of(axes.states);
  if (mix.method == Method::kFull) mix.optimizer_state = state;
  step.mix = planner::FormatMix(mix);
  return step;
}

}  // namespace tunesmith
