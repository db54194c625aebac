#pragma once

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

struct Shared {
  int64_t zero_stage = 0;
  planner::Offload offload = planner::Offload::kNone;
};

// What so many ranks may share and leave to their hosts, but for one rank that does neither.
std::vector<Shared> SharedBy(int64_t ranks);

}  // namespace tunesmith::trainer
