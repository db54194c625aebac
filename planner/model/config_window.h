#pragma once

#include "planner/model/config_reader.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Sets `spec->sliding_window` where a family applies one in every layer: mistral by sliding_window; qwen2 by use_sliding_window in the layers from
// max_window_layers on (28 where it is missing), or as layer_types says. A window of W tokens equals full attention on rows of at most W tokens, so
// one that the context limit does not exceed is none, and where only some layers have one, which is not implemented, the context limit is lowered
// to W and `spec->source` says so. REQUIRES: layer_count and context_limit were read.
void ReadSlidingWindow(ConfigReader& config, ModelSpec* spec);

// The same for a window of which it is not known that every layer has it.
void LimitContextToWindow(int64_t window, ModelSpec* spec);

}  // namespace tunesmith::planner
