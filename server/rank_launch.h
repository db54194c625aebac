#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/shim.h"

// How the shim starts a trainer of several ranks.
namespace tunesmith::server {

// What a trainer of several ranks is started by.
enum class RankStarter {
  kNone,    // nothing: one process is all ranks
  kMpirun,  // on all nodes
  kNode,    // rank_starter.h, on this node; ranks meet by TCP
};

struct RankLaunch {
  std::vector<std::string> arguments;  // the first is the path of the binary
  RankStarter starter = RankStarter::kNone;
};

// The command that trains the run directory with `rank_count` ranks. Where every node has its own shim, which starts the ranks of its node; else mpirun where it is on the PATH and the
// trainer has its plugin (beside it, or TUNESMITH_MPI_PLUGIN); else the trainer alone, whose ranks are then threads of it.
RankLaunch LaunchOf(const ShimOptions& options, int64_t rank_count);

// The plan's ranks; 1 where the plan cannot be read: the trainer will say why.
int64_t RankCountOf(const std::string& run_directory);

}  // namespace tunesmith::server
