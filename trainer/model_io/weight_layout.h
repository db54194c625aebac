#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "planner/model/family.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/nf4.h"

// Between the order in which checkpoints hold a tensor and that in which the step program does (planner/model/family.h).
namespace tunesmith::trainer {

// `values` are `rows` rows, in the program's order. The reverse is FromProgramOrder. kPlain changes nothing. REQUIRES: rows divides the size;
// kHeadGroups: rows are those of q, k and v of `spec`.
std::vector<float> ToProgramOrder(const planner::ModelSpec& spec, planner::TensorLayout layout,
                                  int64_t rows, std::vector<float> values);
std::vector<float> FromProgramOrder(const planner::ModelSpec& spec, planner::TensorLayout layout,
                                    int64_t rows, std::vector<float> values);

// The same of a matrix in 4 bits, whose rows are outputs: a transposed layout is as the program has it. Nothing where the order of rows cannot be changed without
// changing what the codes stand for: a row is not whole blocks, or magnitudes of different scales would come to share one.
std::optional<Nf4Weight> ToProgramOrder(const planner::ModelSpec& spec,
                                        planner::TensorLayout layout, int64_t rows,
                                        Nf4Weight weight);

}  // namespace tunesmith::trainer
