#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// Runs `run` once for each communicator, at the same time: for the first on the calling thread, for the others on threads of their own. A rank that
// returns an error ends the job for all. Returns the first rank's error, else that of another.
absl::Status RunThreadRanks(absl::Span<const std::unique_ptr<Communicator>> communicators,
                            absl::FunctionRef<absl::Status(Communicator&)> run);

// Threads that a rank computes with, of a host's `thread_count` (0: one per processor): the ranks of a host share them equally, and a rank takes no more
// than the processors that its launcher has bound it to. At least 1.
int64_t ThreadsOfRank(int64_t thread_count, int64_t local_rank_count);

}  // namespace tunesmith::trainer
