#pragma once

#include <cstdint>
#include <string>
#include <vector>

// How the shim starts a trainer of several ranks.
namespace tunesmith::server {

struct RankLaunch {
  std::vector<std::string> arguments;  // the first is the path of the binary
  bool is_mpirun = false;              // else one process, which is all ranks
};

// The command that trains `run_directory` with `rank_count` ranks: mpirun on this host where it is on the PATH and the trainer has its plugin (beside it, or
// TUNESMITH_MPI_PLUGIN); else the trainer alone, whose ranks are then threads of it.
RankLaunch LaunchOf(const std::string& trainer_path, const std::string& run_directory,
                    int64_t rank_count);

// The plan's ranks; 1 where the plan cannot be read: the trainer will say why.
int64_t RankCountOf(const std::string& run_directory);

}  // namespace tunesmith::server
