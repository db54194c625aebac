#pragma once

#include "planner/model/config_reader.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Reads what a family leaves open of its blocks' structure: biases, activation, soft-caps, norms of parallel blocks, positions, experts. Lists what
// would change the result and is not known as unsupported. REQUIRES: the sizes are read, spec->family is known.
void ReadStructure(ConfigReader& config, ModelSpec* spec);

// config.json's name of an activation, and back.
const char* ActivationName(Activation activation);

}  // namespace tunesmith::planner
