#pragma once

#include "absl/status/status.h"
#include "planner/program/memory_plan.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Follows every byte of the arena through all segments: INTERNAL, naming segment, block, op and buffer, when an op reads bytes that nothing
// wrote or that another buffer has overwritten since, or when a buffer leaves the arena. A test of the builder and of the memory plan; linear
// in the number of op executions.
absl::Status CheckProgram(const Program& program, const MemoryPlan& plan);

}  // namespace tunesmith::planner
