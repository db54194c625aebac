#include "planner/model/config_window.h"

#include <algorithm>

#include "common/str_cat.h"

namespace tunesmith::planner {
namespace {

// How many layers have the window.
enum class Layers { kNone, kSome, kAll };

Layers LayersOf(int64_t sliding_count, int64_t layer_count) {
  if (sliding_count <= 0) return Layers::kNone;
  return sliding_count < layer_count ? Layers::kSome : Layers::kAll;
}

// REQUIRES: `types` is an array.
Layers ReadLayerTypes(ConfigReader& config, const nlohmann::json& types) {
  int64_t sliding_count = 0;
  for (const nlohmann::json& type : types) {
    if (type == "sliding_attention") {
      ++sliding_count;
    } else if (type != "full_attention") {
      config.Unsupported(
          "layer_types holds an entry that is neither full_attention nor sliding_attention");
      return Layers::kNone;
    }
  }
  return LayersOf(sliding_count, static_cast<int64_t>(types.size()));
}

Layers SlidingLayers(ConfigReader& config, const ModelSpec& spec) {
  constexpr int64_t kMaxWindowLayers = 28;  // transformers' configuration_qwen2.py
  if (spec.family == "mistral") return Layers::kAll;
  if (spec.family != "qwen2") return Layers::kNone;  // llama has no window, whatever the file says
  if (const nlohmann::json* types = config.Array("layer_types")) {
    return ReadLayerTypes(config, *types);
  }
  if (!config.Boolean("use_sliding_window").value_or(false)) return Layers::kNone;
  const int64_t first = config.Integer("max_window_layers").value_or(kMaxWindowLayers);
  return LayersOf(spec.layer_count - std::max<int64_t>(0, first), spec.layer_count);
}

}  // namespace

void ReadSlidingWindow(ConfigReader& config, ModelSpec* spec) {
  const auto window = config.Integer("sliding_window");
  if (!window) return;
  const Layers layers = SlidingLayers(config, *spec);
  if (layers == Layers::kNone) return;
  if (*window < 1) {
    config.Invalid(StrCat("sliding_window is ", *window, ", must be positive or null"));
    return;
  }
  if (layers == Layers::kSome) return LimitContextToWindow(*window, spec);
  if (*window < spec->context_limit) spec->sliding_window = *window;
}

void LimitContextToWindow(int64_t window, ModelSpec* spec) {
  if (window >= spec->context_limit) return;
  spec->source += StrCat("; contexts beyond the sliding window of ", window,
                         " tokens are not implemented where only some layers have one (the model "
                         "allows ",
                         spec->context_limit, ")");
  spec->context_limit = window;
}

}  // namespace tunesmith::planner
