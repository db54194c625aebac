#pragma once

#include "planner/model/mix.h"

namespace tunesmith::planner {

// The peak learning rate where nobody says one: adapters start at zero and bear more than weights that were trained.
inline double UsualLearningRate(Method method) { return method == Method::kFull ? 1e-5 : 2e-4; }

}  // namespace tunesmith::planner
