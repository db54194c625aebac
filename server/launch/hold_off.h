#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>

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

// A HoldOff for each of many commands, by name. One that has passed is forgotten when the next one is noted, so that a command that nobody wants
// any more does not stay.
class HoldOffs {
 public:
  absl::Status Check(const std::string& name) const {
    const auto held = held_.find(name);
    return held == held_.end() ? absl::OkStatus() : held->second.Check();
  }

  // As HoldOff::Note; what does not pass (another failure than UNAVAILABLE) is not held.
  absl::Status Note(const std::string& name, absl::Status status, absl::Duration length) {
    std::erase_if(held_, [](const auto& held) { return held.second.Check().ok(); });
    if (absl::IsUnavailable(status)) return held_[name].Note(std::move(status), length);
    held_.erase(name);
    return status;
  }

  // How many are remembered.
  size_t count() const { return held_.size(); }

 private:
  std::map<std::string, HoldOff> held_;
};

}  // namespace tunesmith::server
