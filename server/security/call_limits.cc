#include "server/security/call_limits.h"

#include <algorithm>

#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr double kBurstSeconds = 6;

}  // namespace

absl::Status CallCounter::Admit(const std::string& caller, absl::Time now) {
  std::lock_guard lock(mutex_);
  Calls& calls = callers_[caller];
  if (limits_.calls_at_once > 0 && calls.running_count >= limits_.calls_at_once) {
    return absl::ResourceExhaustedError(
        StrCat(caller, " has ", calls.running_count, " calls in progress, and may have ",
               limits_.calls_at_once,
               "; end some, streams too, or start tunesmithd with a higher --max-calls-at-once"));
  }
  if (limits_.calls_per_second == 0) return absl::OkStatus();
  const auto rate = static_cast<double>(limits_.calls_per_second);
  calls.allowance = std::min(kBurstSeconds * rate,
                             calls.allowance + rate * absl::ToDoubleSeconds(now - calls.filled));
  calls.filled = now;
  if (calls.allowance < 1) {
    return absl::ResourceExhaustedError(StrCat(caller, " makes more than ",
                                               limits_.calls_per_second,
                                               " calls a second; ask less often, or start "
                                               "tunesmithd with a higher --max-calls-per-second"));
  }
  calls.allowance -= 1;
  return absl::OkStatus();
}

void CallCounter::Began(const std::string& caller) {
  std::lock_guard lock(mutex_);
  ++callers_[caller].running_count;
}

void CallCounter::Ended(const std::string& caller) {
  std::lock_guard lock(mutex_);
  --callers_[caller].running_count;
}

}  // namespace tunesmith::server
