#include "planner/model/mix.h"

#include <cmath>
#include <string>
#include <vector>

#include "common/text.h"
#include "planner/model/mix_names.h"

namespace tunesmith::planner {
namespace {

// Far above any use; keeps products of counts within 63 bits.
constexpr int64_t kLargestCount = 1 << 20;
constexpr int64_t kLargestRank = 1 << 14;

void CheckRange(std::string_view axis, int64_t value, int64_t lowest, int64_t highest,
                std::vector<std::string>* problems) {
  if (value >= lowest && value <= highest) return;
  problems->push_back(StrCat(axis, "(", value, ") must be ", lowest, " to ", highest));
}

void CheckLora(const LoraSpec& lora, std::vector<std::string>* problems) {
  CheckRange("method: lora rank", lora.rank, 1, kLargestRank, problems);
  if (!std::isfinite(lora.alpha) || lora.alpha <= 0) {
    problems->push_back(StrCat("method: lora alpha(", lora.alpha, ") must be a positive number"));
  }
  if (!(lora.dropout >= 0 && lora.dropout < 1))
    problems->push_back(StrCat("method: lora dropout(", lora.dropout, ") must be 0 to below 1"));
  if (lora.targets == 0 || (lora.targets & ~kLoraAll) != 0) {
    problems->push_back(StrCat("method: lora targets(", lora.targets,
                               ") must name at least one of ", StrJoin(kLoraTargetNames, ", ")));
  }
}

void CheckOptimizer(const Mix& mix, std::vector<std::string>* problems) {
  if (mix.optimizer != Optimizer::kSgd) return;
  const bool means_something =
      mix.optimizer_state == OptimizerState::kFp32 ||
      (mix.optimizer_state == OptimizerState::kBf16 && mix.precision == Precision::kBf16);
  if (means_something) return;
  problems->push_back(StrCat("optimizer_state=", NameOf(kOptimizerStateNames, mix.optimizer_state),
                             ": optimizer=sgd has no state to store; leave optimizer_state out"));
}

void CheckRecompute(const Mix& mix, int64_t layer_count, std::vector<std::string>* problems) {
  std::vector<std::string> terms;
  int64_t sum = 0;
  bool in_range = true;
  for (size_t rung = 0; rung < kRungCount; ++rung) {
    const int64_t layers = mix.recompute[rung];
    if (layers != 0) terms.push_back(StrCat(kRungNames[rung], "(", layers, ")"));
    in_range = in_range && layers >= 0 && layers <= layer_count;
    if (in_range) sum += layers;
  }
  if (in_range && sum == layer_count) return;
  problems->push_back(StrCat("recompute: ", terms.empty() ? "0" : StrJoin(terms, " + "),
                             " != layers(", layer_count, ")"));
}

void CheckOffload(const Mix& mix, std::vector<std::string>* problems) {
  CheckRange("offload_percent", mix.offload_percent, 1, 100, problems);
  if (mix.offload_percent != 100 && mix.offload != Offload::kOptimizer)
    problems->push_back(StrCat("offload_percent(", mix.offload_percent,
                               ") is a share of the optimizer's states: it needs "
                               "offload=optimizer"));
  const int64_t least = LeastZeroStage(mix.offload);
  if (RankCount(mix) == 1 || mix.zero_stage >= least) return;
  problems->push_back(StrCat("offload=", NameOf(kOffloadNames, mix.offload), " of ", RankCount(mix),
                             " ranks needs zero_stage(", mix.zero_stage, ") of at least ", least));
}

}  // namespace

double LoraScale(const LoraSpec& lora) {
  const auto rank = static_cast<double>(lora.rank);
  return lora.alpha / (lora.rank_stabilized ? std::sqrt(rank) : rank);
}

bool GathersWeights(const Mix& mix) {
  return mix.offload == Offload::kAll || (mix.zero_stage == 3 && RankCount(mix) > 1);
}

int64_t LeastZeroStage(Offload offload) {
  switch (offload) {
    case Offload::kNone:
      return 0;
    case Offload::kOptimizer:
      return 1;
    case Offload::kAll:
      return 3;
  }
  return 0;
}

Rung RungOfLayer(const Mix& mix, int64_t layer) {
  int64_t first_layer_above = 0;
  for (size_t rung = kRungCount - 1; rung > 0; --rung) {
    first_layer_above += mix.recompute[rung];
    if (layer < first_layer_above) return static_cast<Rung>(rung);
  }
  return Rung::kKeep;
}

absl::Status ValidateMix(const Mix& mix, int64_t layer_count) {
  std::vector<std::string> problems;
  if (mix.method != Method::kFull) CheckLora(mix.lora, &problems);
  CheckOptimizer(mix, &problems);
  CheckRange("zero_stage", mix.zero_stage, 0, 3, &problems);
  CheckRecompute(mix, layer_count, &problems);
  CheckRange("mlp_tiles", mix.mlp_tile_count, 1, kLargestCount, &problems);
  CheckRange("batch: micro", mix.micro_batch, 1, kLargestCount, &problems);
  CheckRange("batch: accumulation", mix.accumulation_count, 1, kLargestCount, &problems);
  CheckRange("batch: data ranks", mix.data_parallel, 1, kLargestCount, &problems);
  CheckRange("sequence_parallel", mix.sequence_parallel, 1, kLargestCount, &problems);
  if (mix.zero_stage > 0 && RankCount(mix) == 1)
    problems.push_back(StrCat("zero_stage(", mix.zero_stage,
                              ") shares what one rank has with others: batch needs data ranks > 1, "
                              "or sequence_parallel > 1"));
  CheckOffload(mix, &problems);
  if (mix.attention == AttentionKernel::kCudnn && mix.precision != Precision::kBf16)
    problems.push_back(
        "attention(cudnn) is for NVIDIA GPUs in bf16: use precision=bf16 on one, or "
        "attention=flash");
  CheckRange("gather_depth", mix.gather_depth, 0, 1, &problems);
  if (mix.gather_depth == 0 && !GathersWeights(mix))
    problems.push_back(
        "gather_depth(0) gathers weights when their block runs: it needs zero_stage(3) of several "
        "ranks, or offload=all");
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("mix: ", StrJoin(problems, "; ")));
}

}  // namespace tunesmith::planner
