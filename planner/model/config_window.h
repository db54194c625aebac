#pragma once

#include <cstdint>
#include <vector>

#include "planner/model/config_reader.h"
#include "planner/model/layer_pattern.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Sets the sliding window and the layers that do not have it, from layer_types where the file has them, else by the family's older fields:
// mistral and phi3 have it in every layer, qwen2, qwen3 and smollm3 where use_sliding_window says so, gemma2 in every other layer, gemma3_text
// but for every sixth. A pattern of more than 64 layers that does not repeat lowers the context limit to the window, where it changes nothing.
void ReadSlidingWindow(ConfigReader& config, ModelSpec* spec);

// Contexts beyond `window` are not built for this model: lowers its context limit and says so in its source.
void LimitContextToWindow(int64_t window, ModelSpec* spec);

// The pattern by which exactly these layers are marked: the shortest that divides their count, else the shortest at all. Null period (0) where
// there is none of at most kLargestPatternPeriod layers.
LayerPattern PatternOf(const std::vector<bool>& layers);

}  // namespace tunesmith::planner
