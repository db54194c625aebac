#pragma once

#include "planner/program/program.h"

namespace tunesmith::planner {

// Scratch in which the products of a CPU's program widen bf16 (linear_workspace.h): one resident buffer for all of them, as they run one after
// another. Its size does not depend on the mix's placement.

// Adds the buffer where the inputs ask for bf16 weights or sums on a CPU, and notes it in Program::linear_scratch.
void AddLinearScratch(Program& program);

// Gives the buffer as one more output to every product that reads or writes bf16. Call it once, after all blocks are built.
void GiveLinearScratch(Program& program);

}  // namespace tunesmith::planner
