#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "trainer/comm/message_transport.h"
#include "trainer/comm/peer_processes.h"

namespace tunesmith::trainer {

// Messages to and from the other ranks, waited for with a limit, beside notices by which a rank tells all others that the job has ended.
//
// Send and Receive begin; WaitForAll ends what was begun. The first error stays: ended(). One thread.
class MessageChannel {
 public:
  MessageChannel(std::unique_ptr<MessageTransport> transport, int64_t rank, int64_t size,
                 std::chrono::milliseconds time_limit);
  // Leaves the job. See MakeMessageCommunicator.
  ~MessageChannel();
  MessageChannel(const MessageChannel&) = delete;
  MessageChannel& operator=(const MessageChannel&) = delete;

  // Looks after the processes of the other ranks from now on.
  void Watch(absl::Span<const ProcessIdentity> identities);
  void set_time_limit(std::chrono::milliseconds limit) { time_limit_ = limit; }

  // Memory is in use until WaitForAll, which also says what went wrong here. Messages between two ranks arrive in their order, cut into the same pieces on both sides; none of zero bytes is
  // sent.
  void Send(int64_t peer, const void* data, int64_t bytes);
  void Receive(int64_t peer, void* data, int64_t bytes);
  // `name`, of what is waited for, is for messages.
  absl::Status WaitForAll(const char* name);

  // Ends the job with `status`, unless it has ended, and tells every other rank. Returns ended().
  absl::Status End(absl::Status status);
  const absl::Status& ended() const { return ended_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Pending {
    int32_t handle = 0;
    int64_t peer = 0;
    bool receives = false;
  };

  void Keep(const absl::StatusOr<int32_t>& handle, const char* what, Pending pending);
  absl::Status ErrorOf(const absl::Status& error, const char* what, int64_t peer) const;
  absl::Status TestPending(bool* has_progressed);
  // What may have ended the job while nothing comes; `since`: the last message.
  absl::Status LookAround(const char* name, Clock::time_point since);
  absl::Status LookForNotices();
  absl::Status LookForTheDead();
  // Who is gone and how that shows; OK: nobody.
  absl::Status FindDead() const;
  // Tells the others, after half the time limit, that this rank waits too: who gives such a sign is not the one to blame.
  void GiveSign();
  // The awaited ranks that have given no sign after `since`; empty: they all wait themselves, for others.
  std::string Absent(Clock::time_point since) const;
  void AbandonMessages();
  void TellAll(Notice::Kind kind, std::string_view reason);
  void WaitForRankZero();

  const std::unique_ptr<MessageTransport> transport_;
  const int64_t rank_;
  const int64_t size_;
  std::chrono::milliseconds time_limit_;
  std::vector<std::string> names_;  // of the ranks, for people
  std::optional<PeerProcesses> processes_;
  std::vector<Pending> pending_;
  absl::Status ended_;
  std::vector<Clock::time_point> signs_;  // the last of each rank
  bool has_given_sign_ = false;           // in this wait
  Clock::time_point next_look_;
  std::optional<Clock::time_point> death_seen_;
};

}  // namespace tunesmith::trainer
