#pragma once

#include <cstdint>

#include "planner/program/program.h"

namespace tunesmith::planner {

// What the blocks of the optimizer segment pass to each other.
struct OptimizerBindings {
  int32_t square_sum = -1;   // (1) f64: squared norm of all gradients
  int32_t clip_factor = -1;  // (1) f32
};

// Appends the optimizer segment: the norm of all gradients, the factor that clips it, then the update of every trainable parameter.
void AddOptimizerSegment(Program& program, const OptimizerBindings& bindings);

// Appends the save segment, which widens one tensor at a time on the device: what is saved passes through the arena, not beside it. Every
// weight is saved after full fine-tuning, else the adapters.
void AddSaveSegment(Program& program);

}  // namespace tunesmith::planner
