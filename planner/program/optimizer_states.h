#pragma once

#include <cstdint>

#include "planner/program/forward_graph.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// What the optimizer keeps beside `shape` elements of trainable weights; -1 where it keeps none.
struct OptimizerStates {
  int32_t moment1 = -1;
  int32_t moment2 = -1;
  int32_t moment1_scale = -1;
  int32_t moment2_scale = -1;
  int32_t master = -1;
};

// Adds them as resident buffers, named after `name`.
OptimizerStates AddOptimizerStates(Program& program, Name name, Shape shape, int64_t instance_count,
                                   Space space = Space::kDevice);

// Into the fields of a Parameter or a BucketUpdate.
template <typename Owner>
void SetStates(const OptimizerStates& states, Owner& owner) {
  owner.moment1 = states.moment1;
  owner.moment2 = states.moment2;
  owner.moment1_scale = states.moment1_scale;
  owner.moment2_scale = states.moment2_scale;
  owner.master = states.master;
}

}  // namespace tunesmith::planner
