#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/descriptor.h"
#include "common/host_port.h"
#include "trainer/comm/time_limits.h"

namespace tunesmith::trainer {

// A rank that is about to meet the others.
struct TcpRank {
  int64_t rank = 0;
  int64_t size = 1;
  HostPort master;      // where rank 0 listens
  std::string secret;   // of all ranks of the job
  int64_t attempt = 0;  // ranks of another one are late, and not let in
  std::string
      facts;  // what must be the same on all ranks, for people: "plan 5c01, trainer 1.0"; at most 190 bytes of it are compared
  int64_t stream_count = 4;  // connections for the messages of two ranks; rank 0's counts
};

// The connections of a rank to another one.
struct TcpLinks {
  Descriptor control;               // for notices; its host is watched
  std::vector<Descriptor> streams;  // for messages
};

// Connects the ranks of a job with each other: by rank, none to itself. Rank 0 listens at the master's address, and tells all others how to reach each other once all have come; nothing
// listens any more when this returns. Who does not know the secret is not let in and ends nothing; nor does a rank whose number is taken, or of another attempt.
//
// DEADLINE_EXCEEDED: not all have come within limits.start; names those that have not, and who else was there. FAILED_PRECONDITION: ranks differ in their facts or their size, or rank 0
// has refused this one. UNAVAILABLE: the master's port is taken, or its name is not known in that time. ABORTED: another rank has failed, with its reason.
absl::StatusOr<std::vector<TcpLinks>> MeetByTcp(const TcpRank& self, const TimeLimits& limits);

}  // namespace tunesmith::trainer
