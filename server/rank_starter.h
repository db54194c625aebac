#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/shim.h"

// What starts the ranks of one node, as torchrun does: a process that the shim starts as it would start a trainer (tunesmith-shim ranks ...).
namespace tunesmith::server {

struct NodeRanks {
  std::vector<std::string> command;  // of each rank
  int64_t first_rank = 0;
  int64_t count = 1;       // on this node
  int64_t world_size = 1;  // on all
  int64_t node_index = 0;
  std::string master_host;
  int64_t master_port = 0;
  std::string log_path;  // what all of them write
};

// Starts the ranks in this process's group, each with RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR and MASTER_PORT in its environment, and waits for
// them; signals that stop ranks go to the group. When one has failed, the others have half a minute to see it and end. Returns 0, or how the first that failed ended: its status, 128 +
// its signal; 127: it could not be started. REQUIRES: the process has one thread.
int RunNodeRanks(const NodeRanks& ranks);

// The words of a command that does so for the node of `options`, without the trainer's own: `rank_count` is divided evenly among nodes.
std::vector<std::string> NodeStarterCommand(const ShimOptions& options, int64_t rank_count);

// tunesmith-shim ranks ... : the exit status.
int NodeStarterMain(int argc, char** argv);

}  // namespace tunesmith::server
