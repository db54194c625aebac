#pragma once

#include <vector>

#include "planner/program/program.h"
#include "profiler/probe_programs.h"

namespace tunesmith::profiler {

// Step programs as people ask for them: small models of one to a few layers, their widths, heads, vocabularies, methods, kernels, rungs, contexts and batches drawn at random, so that
// what a calibration is off by on them is what it is off by on questions (profiler/fit_calibration.h). The same for every run on one kind of device. Each is a step of some tenths of a second on two
// cores, or on a GPU. Any prefix is as good a sample as the whole.
std::vector<planner::ProgramInputs> ShortRuns(planner::Precision precision,
                                              const planner::Backend& backend);

}  // namespace tunesmith::profiler
