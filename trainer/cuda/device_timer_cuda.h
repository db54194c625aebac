#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "trainer/device_timer.h"

namespace tunesmith::trainer {

// DeviceTimer::Create for a CUDA device. UNIMPLEMENTED in a build without CUDA.
absl::StatusOr<std::unique_ptr<DeviceTimer>> CreateCudaTimer(CudaContext& context,
                                                             planner::Stream stream);

}  // namespace tunesmith::trainer
