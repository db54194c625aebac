#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/steady_time.h"

namespace tunesmith::server {

// Keeps a command that has failed from being run again for a while. The time counts from the command's end: one that hangs may have taken longer
// than the while itself.
class HoldOff {
 public:
  // What the command failed with, while it is left alone; else OK.
  absl::Status Check() const { return SteadyNow() < until_ ? failure_ : absl::OkStatus(); }

  // Notes how the command, which has just ended, came out, and returns that. REQUIRES: a failure is one that
  // may pass.
  absl::Status Note(absl::Status status, absl::Duration length) {
    until_ = status.ok() ? absl::InfinitePast() : SteadyNow() + length;
    failure_ = status;
    return status;
  }

 private:
  absl::Time until_ = absl::InfinitePast();
  absl::Status failure_;
};

// A HoldOff for each of many commands to one place, by name. One that has passed is forgotten when the next one is noted, so that a command that
// nobody wants any more does not stay. A command that has failed slowly holds all of them: a place that does not answer would else be waited for once
// for each.
class HoldOffs {
 public:
  static constexpr absl::Duration kSlow = absl::Seconds(2);

  absl::Status Check(const std::string& name) const {
    if (const absl::Status status = all_.Check(); !status.ok()) return status;
    const auto held = held_.find(name);
    return held == held_.end() ? absl::OkStatus() : held->second.Check();
  }

  // As HoldOff::Note, of a command that took so long; what does not pass (another failure than UNAVAILABLE) is not held.
  absl::Status Note(const std::string& name, absl::Status status, absl::Duration took,
                    absl::Duration length) {
    if (absl::IsUnavailable(status) && took >= kSlow) return all_.Note(std::move(status), length);
    std::erase_if(held_, [](const auto& held) { return held.second.Check().ok(); });
    if (absl::IsUnavailable(status)) return held_[name].Note(std::move(status), length);
    held_.erase(name);
    return status;
  }

  // How many are remembered by name.
  size_t count() const { return held_.size(); }

 private:
  HoldOff all_;
  std::map<std::string, HoldOff> held_;
};

}  // namespace tunesmith::server
