#pragma once

#include <cstdint>

#include "planner/program/program.h"

namespace tunesmith::planner {

// What a checkpoint holds of a program, by all ranks together: every trained weight, its moments and its master copy. Without headers and the position in the data, some kilobytes.
int64_t CheckpointBytes(const Program& program);

}  // namespace tunesmith::planner
