#pragma once

#include "absl/status/statusor.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::profiler {

// Between a device and pinned memory of its host, each direction alone.
struct LinkRates {
  double to_device_bytes_per_second = 0;
  double from_device_bytes_per_second = 0;
};

// Copies 256 MiB some times, after once to warm up: some hundredths of a second. Errors as DeviceMemory.
absl::StatusOr<LinkRates> MeasureLink(const trainer::OpContext& context);

}  // namespace tunesmith::profiler
