#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "planner/program/program.h"

// What the tests of several ranks vary, and what they hold it against.
namespace tunesmith::trainer {

// EXPECTs that tensors of the same names differ by at most `tolerance` of their norms.
void ExpectSameTensors(const std::map<std::string, std::vector<double>>& a,
                       const std::map<std::string, std::vector<double>>& b, double tolerance,
                       const std::string& what);

// One rank with the same rows, in one micro-batch, and plain kernels.
planner::ProgramInputs AloneOf(planner::ProgramInputs inputs);

// EXPECTs of programs that their ops read nothing that is not there.
void ExpectChecks(const std::vector<planner::ProgramInputs>& grid);

// EXPECTs, in fp64, the loss, gradients and held-out loss that one rank alone has. Ends with the first that differ.
void ExpectLearnsAsAlone(std::vector<planner::ProgramInputs> grid);

// EXPECTs that random delays of ranks change no bit of two steps.
void ExpectDelaysChangeNoBit(const planner::ProgramInputs& inputs, uint64_t seed);

}  // namespace tunesmith::trainer
