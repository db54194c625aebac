#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "proto/convert/plan.h"

namespace tunesmith::trainer {

// A GPU as it was found before the arena was allocated.
struct DeviceRoom {
  std::string device;  // "cuda:0 (NVIDIA H100 80GB HBM3)"
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;
};

// RESOURCE_EXHAUSTED where the plan's arena, as predicted, which is what is allocated, is larger than what others leave free: with the amounts, and the best mix that would fit or the smallest change that
// makes one fit, found by a search of some seconds at most.
absl::Status CheckDeviceRoom(const convert::Plan& plan, const DeviceRoom& room);

}  // namespace tunesmith::trainer
