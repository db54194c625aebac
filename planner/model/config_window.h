#pragma once

#include "planner/model/config_reader.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// A sliding window of W tokens equals full attention on rows of at most W tokens. Windows are not implemented beyond that, so where a
// family applies one (mistral: sliding_window; qwen2: use_sliding_window with layers at or above max_window_layers, or layer_types) the
// context limit is lowered to W and `spec->source` says so.
void ReadSlidingWindow(ConfigReader& config, ModelSpec* spec);

}  // namespace tunesmith::planner
