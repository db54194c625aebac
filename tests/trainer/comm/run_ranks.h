#pragma once

#include <string>

namespace tunesmith::trainer {

struct MpiRun {
  int status = 0;      // of mpirun
  std::string output;  // stdout and stderr of all ranks, and of mpirun
  double seconds = 0;
};

// Whether mpirun and the plugin are here; else why they are not, for GTEST_SKIP.
std::string WhyNoMpi();

// Runs `command` (quoted for the shell where needed) as `rank_count` processes on this host. REQUIRES: WhyNoMpi().empty().
MpiRun RunMpi(int rank_count, const std::string& command);
// As mpirun takes them: "-n 1 COMMAND : -n 2 OTHER".
MpiRun RunMpi(const std::string& commands);

}  // namespace tunesmith::trainer
