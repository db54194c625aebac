#pragma once

#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace tunesmith::server {

// Lines that strangers can cause: at most ten a second are written. Thread-safe.
class Sparing {
 public:
  // Whether one more may be written now; else it is counted as left out.
  bool Admit();

  // How many were left out since this was asked last.
  int64_t TakeLeftOut();

 private:
  std::mutex mutex_;
  absl::Time second_ = absl::InfinitePast();  // in which count_ were seen
  int64_t count_ = 0;
  int64_t left_out_count_ = 0;
};

}  // namespace tunesmith::server
