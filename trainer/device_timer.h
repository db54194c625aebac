#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Seconds of device work between two points of a stream: on CUDA by events, on the CPU by the steady clock. Not thread safe.
class DeviceTimer {
 public:
  // `context` and what it points to must outlive the timer.
  static absl::StatusOr<std::unique_ptr<DeviceTimer>> Create(
      const OpContext& context, planner::Stream stream = planner::Stream::kCompute);

  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  virtual ~DeviceTimer() = default;

  virtual absl::Status Start() = 0;
  virtual absl::Status Stop() = 0;
  // Waits for the work before Stop; its errors show here. REQUIRES: Start, then Stop.
  virtual absl::StatusOr<double> Seconds() = 0;

 protected:
  DeviceTimer() = default;
};

}  // namespace tunesmith::trainer
