#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "trainer/comm/rank_table.h"
#include "trainer/job/job_setup.h"

namespace tunesmith::trainer {

// One rank of a job that is about to run.
struct JobRank {
  const JobInputs& inputs;  // shared by the ranks of a process
  Communicator* comm;       // null: the job has one rank
  int64_t thread_count;     // for computing; 0: one per processor
  int64_t local_rank = 0;   // among those of its node
};

// Runs `run` for every rank of the job that belongs to this process, with all that the ranks share opened.
//
// Ranks are as many as the plan's data_parallel x sequence_parallel: the processes that a launcher has started, as `place` says, which are connected by MPI or by TCP; or, where this
// process is alone and computes on the CPU, threads of it, which share its processors. Before anything is opened, ranks compare versions, plans and jobs.
//
// Returns the first error of this process; every rank of the job then has one that names the cause. INVALID_ARGUMENT: the ranks are not the plan's.
absl::Status RunRanks(const Environment& environment, const RankPlace& place,
                      const std::string& run_directory,
                      absl::FunctionRef<absl::Status(const JobRank&)> run);

}  // namespace tunesmith::trainer
