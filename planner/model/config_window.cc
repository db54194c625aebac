#include "planner/model/config_window.h"

#include <algorithm>

#include "common/str_cat.h"

namespace tunesmith::planner {
namespace {

// True if layer_types is present; `*slides` says whether any layer has a window.
bool ReadLayerTypes(ConfigReader& config, bool* slides) {
  const nlohmann::json* types = config.Array("layer_types");
  if (types == nullptr) return false;
  *slides = false;
  for (const nlohmann::json& type : *types) {
    if (type == "sliding_attention") {
      *slides = true;
    } else if (type != "full_attention") {
      config.Unsupported(
          "layer_types holds an entry that is neither full_attention nor sliding_attention");
      return true;
    }
  }
  return true;
}

bool AnyLayerSlides(ConfigReader& config, const ModelSpec& spec) {
  if (spec.family == "mistral") return true;
  if (spec.family != "qwen2") return false;  // llama has no window, whatever the file says
  bool slides = false;
  if (ReadLayerTypes(config, &slides)) return slides;
  return config.Boolean("use_sliding_window").value_or(false) &&
         config.Integer("max_window_layers").value_or(0) < spec.layer_count;
}

}  // namespace

void ReadSlidingWindow(ConfigReader& config, ModelSpec* spec) {
  const auto window = config.Integer("sliding_window");
  if (!window || !AnyLayerSlides(config, *spec)) return;
  if (*window < 1) {
    config.Invalid(StrCat("sliding_window is ", *window, ", must be positive or null"));
    return;
  }
  if (*window >= spec->context_limit) return;
  spec->source +=
      StrCat("; contexts beyond the sliding window of ", *window,
             " tokens are not implemented (the model allows ", spec->context_limit, ")");
  spec->context_limit = *window;
}

}  // namespace tunesmith::planner
