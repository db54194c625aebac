#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "trainer/comm/message_communicator.h"
#include "trainer/comm/rank_board.h"
#include "trainer/comm/rank_table.h"

namespace tunesmith::trainer {

// Joins the job that this process was started for by MPI's launcher; once in a process. FAILED_PRECONDITION: the plugin or the MPI library is missing
// (with the cure), or MPI knows of another rank or size than `place`, as where no launcher of MPI has started the process. DEADLINE_EXCEEDED: not every
// rank has joined within limits.start; names those that are not on the board.
absl::StatusOr<std::unique_ptr<Communicator>> OpenMpiCommunicator(const RankPlace& place,
                                                                  const TimeLimits& limits,
                                                                  const RankBoard& board);

}  // namespace tunesmith::trainer
