#pragma once

#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Stacks the weights of projections that read the same input, or their adapters' A (Program::stacks), and says so in `parameters`: before parameters are
// put into buckets.
void StackWeights(Program& program, ModelParameters& parameters);

}  // namespace tunesmith::planner
