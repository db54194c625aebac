#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "planner/model/family.h"
#include "planner/model/model_spec.h"

// Between the order in which checkpoints hold a tensor and that in which the step program does (planner/model/family.h).
namespace tunesmith::trainer {

// `values` are `rows` rows, in the program's order. The reverse is FromProgramOrder. kPlain changes nothing. REQUIRES: rows divides the size;
// kHeadGroups: rows are those of q, k and v of `spec`.
std::vector<float> ToProgramOrder(const planner::ModelSpec& spec, planner::TensorLayout layout,
                                  int64_t rows, std::vector<float> values);
std::vector<float> FromProgramOrder(const planner::ModelSpec& spec, planner::TensorLayout layout,
                                    int64_t rows, std::vector<float> values);

}  // namespace tunesmith::trainer
