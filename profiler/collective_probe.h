#pragma once

#include <string>

#include "absl/status/status.h"
#include "planner/price/calibration.h"
#include "profiler/note.h"

// What ranks of one host tell each other.
namespace tunesmith::profiler {

// Has tunesmith-profiler call RunRankProbe and nothing else.
inline constexpr char kRankProbeFlag[] = "--rank-probe";

// Adds the rates of each collective, for groups of two ranks and four and some sizes of what they tell. The ranks are what those of jobs are (common/mpi_launch.h): processes of
// `rank_binary`, which is tunesmith-profiler, where mpirun and the plugin are there and work; else, or where it is empty, threads of this process, and `note` is told why. A second or two for each group, where there is memory for it; on a host
// that is busy each collective is measured once. Errors as Communicator.
absl::Status ProbeCollectives(const std::string& rank_binary, const Note& note,
                              planner::Calibration& calibration);

// As one of those processes, which mpirun has started: measures together with the others; the first prints the rates. Errors as OpenMpiCommunicator and Communicator.
absl::Status RunRankProbe();

}  // namespace tunesmith::profiler
