#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tunesmith::server {

// What one caller may ask for; 0: no limit.
struct CallLimits {
  int64_t calls_per_second = 0;  // on average; a tenth of a minute's worth may come at once
  int64_t calls_at_once = 4096;  // streams too
};

// Counts calls by caller. Callers are few: those of the access file. Thread-safe.
class CallCounter {
 public:
  explicit CallCounter(const CallLimits& limits) : limits_(limits) {}

  // RESOURCE_EXHAUSTED when the caller asks for more than it may, with the limit. Calls that are admitted at the same instant may exceed
  // calls_at_once by as many. `now` is by SteadyNow().
  absl::Status Admit(const std::string& caller, absl::Time now);

  void Began(const std::string& caller);
  void Ended(const std::string& caller);

 private:
  struct Calls {
    int64_t running_count = 0;
    double allowance = 0;  // calls that may still come now
    absl::Time filled = absl::InfinitePast();
  };

  const CallLimits limits_;
  std::mutex mutex_;
  std::map<std::string, Calls> callers_;
};

}  // namespace tunesmith::server
