#pragma once

#include "planner/model/config_reader.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Reads the base, the scaling and the rotated share of rotary positions into `spec`. Two spellings exist: top-level rope_theta with
// rope_scaling (absent or null: none), and rope_parameters with both inside (transformers 5). Where a file has both they must agree. Problems go to
// the reader's list. REQUIRES: family, sizes and context limit are read.
void ReadRope(ConfigReader& config, ModelSpec* spec);

}  // namespace tunesmith::planner
