#include "planner/model/config_window.h"

#include <algorithm>
#include <optional>

#include "common/str_cat.h"

namespace tunesmith::planner {
namespace {

using LayerMarks = std::vector<bool>;  // by layer: has the window

size_t LayerCountOf(const ModelSpec& spec) {
  return static_cast<size_t>(std::clamp<int64_t>(spec.layer_count, 0, 1 << 16));
}

bool Repeats(const LayerMarks& layers, size_t period) {
  for (size_t i = period; i < layers.size(); ++i) {
    if (layers[i] != layers[i - period]) return false;
  }
  return true;
}

LayerPattern FirstLayers(const LayerMarks& layers, size_t period) {
  LayerPattern pattern{.period = static_cast<int64_t>(period)};
  for (size_t i = 0; i < period; ++i) pattern.bits |= uint64_t{layers[i]} << i;
  return pattern;
}

std::optional<LayerMarks> ReadLayerTypes(ConfigReader& config, const nlohmann::json& types,
                                         const ModelSpec& spec) {
  LayerMarks slides;
  for (const nlohmann::json& type : types) {
    if (type != "sliding_attention" && type != "full_attention") {
      config.Unsupported(
          "layer_types holds an entry that is neither full_attention nor sliding_attention");
      return std::nullopt;
    }
    slides.push_back(type == "sliding_attention");
  }
  if (slides.size() == LayerCountOf(spec)) return slides;
  config.Invalid(StrCat("layer_types has ", slides.size(), " entries for ", spec.layer_count,
                        " layers; give one for each"));
  return std::nullopt;
}

// Layers [first, layer_count).
LayerMarks From(int64_t first, const ModelSpec& spec) {
  LayerMarks slides(LayerCountOf(spec), false);
  for (size_t i = 0; i < slides.size(); ++i) slides[i] = static_cast<int64_t>(i) >= first;
  return slides;
}

// All but every `period`-th layer.
LayerMarks ButEvery(int64_t period, const ModelSpec& spec) {
  LayerMarks slides = From(0, spec);
  for (int64_t i = period; i > 0 && i <= static_cast<int64_t>(slides.size()); i += period)
    slides[static_cast<size_t>(i - 1)] = false;
  return slides;
}

// Before there were layer_types; defaults are those of transformers' configuration files.
LayerMarks OlderRule(ConfigReader& config, const ModelSpec& spec) {
  constexpr int64_t kMaxWindowLayers = 28;
  if (spec.family == "mistral" || spec.family == "phi3" || spec.family == "mixtral")
    return From(0, spec);
  if (spec.family == "gemma2") return ButEvery(2, spec);
  if (spec.family == "gemma3_text") {
    const char* field =
        config.Has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
    return ButEvery(config.Integer(field).value_or(6), spec);
  }
  const bool asked = config.Boolean("use_sliding_window").value_or(false);
  if (!asked || !spec.family.starts_with("qwen")) return From(spec.layer_count, spec);
  return From(config.Integer("max_window_layers").value_or(kMaxWindowLayers), spec);
}

// Whether the family has windows at all; others have none, whatever the file says.
bool HasWindows(const ModelSpec& spec) {
  for (const std::string_view family : {"mistral", "qwen2", "qwen3", "smollm3", "phi3", "gemma2",
                                        "gemma3_text", "mixtral", "qwen3_moe"}) {
    if (spec.family == family) return true;
  }
  return false;
}

bool Any(const LayerMarks& layers) {
  return std::find(layers.begin(), layers.end(), true) != layers.end();
}

void SetWindow(int64_t window, const LayerMarks& slides, ModelSpec* spec) {
  LayerMarks full = slides;
  full.flip();
  const LayerPattern pattern = PatternOf(full);
  if (pattern.period == 0) return LimitContextToWindow(window, spec);
  if (window < spec->context_limit) spec->sliding_window = window;
  // The layers matter beside the window alone, but for a model whose rotation differs by layer.
  if (spec->sliding_window > 0 || spec->family == "gemma3_text") spec->full_layers = pattern;
}

}  // namespace

LayerPattern PatternOf(const LayerMarks& layers) {
  const size_t most = std::min<size_t>(layers.size(), kLargestPatternPeriod);
  for (size_t period = 1; period <= most; ++period) {
    if (layers.size() % period == 0 && Repeats(layers, period)) return FirstLayers(layers, period);
  }
  for (size_t period = 1; period <= most; ++period) {
    if (Repeats(layers, period)) return FirstLayers(layers, period);
  }
  return {.period = layers.empty() ? 1 : 0};
}

void ReadSlidingWindow(ConfigReader& config, ModelSpec* spec) {
  if (!HasWindows(*spec)) return;
  const nlohmann::json* types = config.Array("layer_types");
  const auto window = config.Integer("sliding_window");
  if (!window) return;
  const std::optional<LayerMarks> slides =
      types != nullptr ? ReadLayerTypes(config, *types, *spec) : OlderRule(config, *spec);
  if (!slides || !Any(*slides)) return;
  if (*window < 1) {
    config.Invalid(StrCat("sliding_window is ", *window, ", must be positive or null"));
    return;
  }
  SetWindow(*window, *slides, spec);
}

void LimitContextToWindow(int64_t window, ModelSpec* spec) {
  if (window >= spec->context_limit) return;
  spec->source += StrCat("; contexts beyond the sliding window of ", window,
                         " tokens are not built for this model's pattern of windows (the model "
                         "allows ",
                         spec->context_limit, ")");
  spec->context_limit = window;
}

}  // namespace tunesmith::planner
