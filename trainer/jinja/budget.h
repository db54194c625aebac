#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace tunesmith::trainer::jinja {

// What one run of a template may take, so that a template that goes wrong ends with a message instead of taking the machine.
class Budget {
 public:
  static constexpr int64_t kMaxSteps = 5'000'000;
  static constexpr int64_t kMaxBytes = int64_t{1} << 28;  // made by all expressions together
  static constexpr int64_t kMaxDepth = 800;       // statements and expressions that wait for others
  static constexpr int64_t kMaxValueDepth = 400;  // lists within lists

  // RESOURCE_EXHAUSTED where the template took more.
  absl::Status TakeStep() {
    if (++steps_ <= kMaxSteps) return absl::OkStatus();
    return absl::ResourceExhaustedError("the template takes more than 5 million steps");
  }
  absl::Status TakeBytes(int64_t bytes) {
    if (bytes <= kMaxBytes - bytes_) {
      bytes_ += bytes;
      return absl::OkStatus();
    }
    return absl::ResourceExhaustedError("the template makes more than 256 MiB of text and lists");
  }

 private:
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace tunesmith::trainer::jinja
