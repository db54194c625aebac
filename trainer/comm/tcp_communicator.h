#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "trainer/comm/communicator.h"
#include "trainer/comm/tcp_mesh.h"
#include "trainer/comm/time_limits.h"

namespace tunesmith::trainer {

// Joins the job's other ranks by TCP, without anything that starts them or stands between them. Any number in a process. Errors as of MeetByTcp; afterwards a
// rank whose process or host is gone ends all ranks within 10 seconds, as UNAVAILABLE, and one that is there and does not come is found by limits.call.
absl::StatusOr<std::unique_ptr<Communicator>> OpenTcpCommunicator(const TcpRank& self,
                                                                  const TimeLimits& limits);

}  // namespace tunesmith::trainer
