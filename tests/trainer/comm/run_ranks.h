#pragma once

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace tunesmith::trainer {

// What starts the ranks of a job as processes of this host.
enum class Launcher {
  kMpi,    // mpirun
  kShell,  // a shell that tells each its number as torchrun does; they meet by TCP
};
// For the names of tests that run under each: "Mpi", "Tcp".
std::string LauncherName(const testing::TestParamInfo<Launcher>& info);

struct RanksRun {
  int status = 0;      // of the launcher; of the shell 1 where a rank's was not 0
  std::string output;  // stdout and stderr of all ranks, and of the launcher
  double seconds = 0;
};

// Whether the launcher is here; else why it is not, for GTEST_SKIP.
std::string WhyAbsent(Launcher launcher);

// Runs `command` (quoted for the shell where needed) as `rank_count` processes; or one command for each rank. REQUIRES: WhyAbsent(launcher).empty().
RanksRun RunRanks(Launcher launcher, int rank_count, const std::string& command);
RanksRun RunRanks(Launcher launcher, const std::vector<std::string>& commands);

// What the environment of rank `rank` says of it, of which each process has one: "OMPI_COMM_WORLD_RANK=1".
std::string RankVariable(Launcher launcher, int64_t rank);

// A port of loopback that was free just now.
int FreePort();

}  // namespace tunesmith::trainer
