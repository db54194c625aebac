#include <string>
#include <vector>

#include "common/numbers.h"
#include "common/text.h"
#include "planner/model/mix.h"
#include "planner/model/mix_names.h"

namespace tunesmith::planner {
namespace {

std::string FormatTargets(uint32_t targets) {
  if (targets == kLoraAttention) return "attention";
  std::vector<std::string_view> modules;
  for (size_t i = 0; i < kLoraTargetNames.size(); ++i) {
    if ((targets >> i & 1) != 0) modules.push_back(kLoraTargetNames[i]);
  }
  return StrJoin(modules, "+");
}

std::string FormatMethod(const Mix& mix) {
  if (mix.method == Method::kFull) return "full";
  std::string text = StrCat(NameOf(kMethodNames, mix.method), ":r", mix.lora.rank);
  if (mix.lora.alpha != LoraSpec().alpha) text += StrCat(":a", FormatDouble(mix.lora.alpha));
  if (mix.lora.rank_stabilized) text += ":rs";
  if (mix.lora.dropout != 0) text += StrCat(":d", FormatDouble(mix.lora.dropout));
  if (mix.lora.targets != kLoraAll) text += StrCat(":", FormatTargets(mix.lora.targets));
  if (mix.method == Method::kQlora && !mix.double_quantization) text += ":single";
  return text;
}

std::string FormatRecompute(const Mix& mix) {
  std::vector<std::string> rungs;
  for (size_t rung = 0; rung < kRungCount; ++rung) {
    if (mix.recompute[rung] == 0) continue;
    rungs.push_back(StrCat(kRungNames[rung], ":", mix.recompute[rung]));
  }
  return StrJoin(rungs, ",");
}

std::string FormatBatch(const Mix& mix) {
  std::string text = StrCat(mix.micro_batch, "x", mix.accumulation_count);
  if (mix.data_parallel != 1) text += StrCat("x", mix.data_parallel);
  return text;
}

// Collects "axis=value"; Changed leaves out what is at its default.
class AxisList {
 public:
  void Add(std::string_view axis, std::string_view value) {
    axes_.push_back(StrCat(axis, "=", value));
  }
  template <typename Enum, size_t N>
  void Changed(std::string_view axis, const std::array<std::string_view, N>& names, Enum value,
               Enum default_value) {
    if (value != default_value) Add(axis, NameOf(names, value));
  }
  std::string Line() const { return StrJoin(axes_, " "); }

 private:
  std::vector<std::string> axes_;
};

}  // namespace

std::string RanksText(const Mix& mix) {
  const std::string data = StrCat("data_parallel(", mix.data_parallel, ")");
  return mix.sequence_parallel == 1
             ? data
             : StrCat(data, " x sequence_parallel(", mix.sequence_parallel, ")");
}

std::string FormatMix(const Mix& mix) {
  const Mix defaults;
  AxisList axes;
  axes.Add("method", FormatMethod(mix));
  axes.Changed("precision", kPrecisionNames, mix.precision, defaults.precision);
  axes.Changed("optimizer", kOptimizerNames, mix.optimizer, defaults.optimizer);
  axes.Changed("optimizer_state", kOptimizerStateNames, mix.optimizer_state,
               defaults.optimizer_state);
  axes.Changed("accumulation", kAccumulationNames, mix.accumulation_dtype,
               defaults.accumulation_dtype);
  axes.Add("zero_stage", StrCat(mix.zero_stage));
  axes.Changed("offload", kOffloadNames, mix.offload, defaults.offload);
  if (mix.offload_percent != defaults.offload_percent)
    axes.Add("offload_percent", StrCat(mix.offload_percent));
  if (mix.gather_depth != defaults.gather_depth) axes.Add("gather_depth", StrCat(mix.gather_depth));
  if (mix.recompute != defaults.recompute) axes.Add("recompute", FormatRecompute(mix));
  axes.Add("attention", NameOf(kAttentionNames, mix.attention));
  axes.Add("loss", NameOf(kLossNames, mix.loss));
  if (mix.mlp_tile_count != 1) axes.Add("mlp_tiles", StrCat(mix.mlp_tile_count));
  if (mix.sequence_parallel != 1) axes.Add("sequence_parallel", StrCat(mix.sequence_parallel));
  axes.Add("batch", FormatBatch(mix));
  return axes.Line();
}

}  // namespace tunesmith::planner
