#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/model/mix.h"

namespace tunesmith::trainer {

// Which process of a job this is, by what its launcher put into the environment.
struct RankPlace {
  int64_t rank = 0;
  int64_t size = 1;
  int64_t local_rank = 0;  // among the ranks of its node
  int64_t local_size = 1;
  int64_t node = 0;
  std::string size_variable;  // where `size` was found; empty: no launcher, this process is alone
  bool has_mpi = false;       // the launcher connects its processes by MPI
};

using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

// The conventions, the launcher nearest to the process first (rank_table.cc has the one table): Open MPI's mpirun, MPICH's (PMI), torchrun, its
// variables for one process a node (PET_), a Slurm step, a Kubernetes Job with an index. A Slurm step and a Kubernetes pod may hold another launcher, so
// they are asked last; the others must say the same. Where a convention does not tell the node, ranks are taken to fill one node after the other; where
// it does not tell how many share a node, one rank a node.
//
// INVALID_ARGUMENT names the variables and their values: a number that is none, a rank without a size or a size without a rank, a rank beyond its size,
// two launchers that differ.
absl::StatusOr<RankPlace> FindRank(const Environment& environment);

// INVALID_ARGUMENT with the equation unless the plan's ranks are the ranks that were started.
absl::Status CheckRankCount(const RankPlace& place, const planner::Mix& mix);

}  // namespace tunesmith::trainer
