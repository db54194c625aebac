#pragma once

#include <string>
#include <vector>

#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Where two models differ but for their names and sources, by the fields of their config.json: "rope_theta: 100000, not 500000". Empty: they are the same.
std::vector<std::string> ModelDifferences(const ModelSpec& expected, const ModelSpec& found);

}  // namespace tunesmith::planner
