#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "trainer/comm/communicator.h"
#include "trainer/comm/message_transport.h"
#include "trainer/comm/time_limits.h"

namespace tunesmith::trainer {

// A communicator of processes that send each other messages. Sums are made of messages to the rank whose part it is, which adds them up in order. Scratch
// memory is allocated here, 8 MiB or a little more with thousands of ranks. Waits for every rank to join: DEADLINE_EXCEEDED names those that have not.
//
// Another rank's Abort is heard by whoever waits for anyone. A process that dies is noticed within a second by the ranks on its host, as UNAVAILABLE, and
// told to the others; by a transport that sees it, a process or host that is gone by all.
//
// Destroying it leaves the job; where the job has ended with an error, other ranks than 0 first give rank 0 some seconds to report.
//
// `transport` has joined, as rank `rank` of `size`.
absl::StatusOr<std::unique_ptr<Communicator>> MakeMessageCommunicator(
    std::unique_ptr<MessageTransport> transport, int64_t rank, int64_t size,
    const TimeLimits& limits);

}  // namespace tunesmith::trainer
