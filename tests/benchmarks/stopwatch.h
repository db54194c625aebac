#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/device_memory.h"
#include "trainer/device_timer.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Median seconds of work on a device. Not thread safe.
class Stopwatch {
 public:
  // Measures for `seconds`, or a few times where that takes longer. What `context` points to must outlive the watch.
  static absl::StatusOr<Stopwatch> Create(const OpContext& context, double seconds);

  // With a cold L2 cache before each time, full of what was written to flush it: work that is short against the time to write that back shows too long.
  // `work` is queued once before it is measured: kernels are loaded, algorithms picked.
  absl::StatusOr<double> Measure(const std::function<absl::Status()>& work);

  // With the caches as `work` itself left them the time before.
  absl::StatusOr<double> MeasureRepeated(const std::function<absl::Status()>& work);

 private:
  Stopwatch(const OpContext& context, double seconds) : context_(context), seconds_(seconds) {}

  absl::StatusOr<double> Median(const std::function<absl::Status()>& work, bool flushes);
  absl::StatusOr<double> Once(const std::function<absl::Status()>& work, bool flushes);

  OpContext context_;
  double seconds_;
  std::unique_ptr<DeviceTimer> timer_;
  std::unique_ptr<DeviceMemory> flush_;
};

}  // namespace tunesmith::trainer
