#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tunesmith::trainer {

// What a rank tells another one beside its messages.
struct Notice {
  enum class Kind : char {
    kFailed = 'F',  // the job has ended, as `text` says
    kLost = 'L',    // as kFailed, because a rank of another host is gone (rank_loss.h)
    kSign = 'S',    // this rank lives, and waits too
  };
  int64_t teller = 0;
  Kind kind = Kind::kSign;
  std::string text;
};

// A rank that is gone, and how that shows: "its connection was closed".
struct LostRank {
  int64_t rank = 0;
  std::string how;
};

// Carries bytes between the processes of a job: MPI, or TCP. Nothing waits here but Progress and Finish. One thread at a time.
class MessageTransport {
 public:
  // A notice's text that is longer is cut.
  static constexpr int64_t kMostNoticeBytes = 1000;

  virtual ~MessageTransport() = default;

  // Begin to send or receive a message of exactly `bytes` (below 2^31, above 0) and give a handle. Memory is in use until IsDone or Abandon. Messages
  // between two ranks arrive in their order, so both sides begin them in the same order, with the same sizes.
  virtual absl::StatusOr<int32_t> Send(int64_t peer, const void* data, int64_t bytes) = 0;
  virtual absl::StatusOr<int32_t> Receive(int64_t peer, void* data, int64_t bytes) = 0;
  // Whether the message has gone or come; the handle is used up once it has.
  virtual absl::StatusOr<bool> IsDone(int32_t handle) = 0;
  // The end of all messages: nothing is written any more to what was to be received, by these handles, nor read from what was to be sent where that can be helped.
  virtual void Abandon(absl::Span<const int32_t> receives) = 0;

  // Lets messages and notices move. Where none can, waits for at most `wait`.
  virtual void Progress(std::chrono::microseconds wait) = 0;

  // A notice that cannot be sent is dropped. HasTold: none is under way.
  virtual void Tell(int64_t peer, Notice::Kind kind, std::string_view text) = 0;
  virtual bool HasTold() = 0;
  // The next notice of any rank.
  virtual std::optional<Notice> Hear() = 0;

  // The lowest rank that is gone, or that has left although something is to come from it or go to it; where that shows here.
  virtual std::optional<LostRank> FindLost() const = 0;
  // Whether `rank` is known to be gone, in whatever way.
  virtual bool IsGone(int64_t rank) const = 0;

  // Leaves the job in peace, when the other ranks do, or some seconds later. Not called after an error.
  virtual void Finish() = 0;
};

}  // namespace tunesmith::trainer
