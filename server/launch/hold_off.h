#pragma once

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tunesmith::server {

// Keeps a command that has failed from being run again for a while. The time counts from the command's end: one that hangs may have taken longer
// than the while itself.
class HoldOff {
 public:
  // What the command failed with, while it is left alone; else OK.
  absl::Status Check() const { return absl::Now() < until_ ? failure_ : absl::OkStatus(); }

  // Notes how the command, which has just ended, came out, and returns that. REQUIRES: a failure is one that
  // may pass.
  absl::Status Note(absl::Status status, absl::Duration length) {
    until_ = status.ok() ? absl::InfinitePast() : absl::Now() + length;
    failure_ = status;
    return status;
  }

 private:
  absl::Time until_ = absl::InfinitePast();
  absl::Status failure_;
};

}  // namespace tunesmith::server
