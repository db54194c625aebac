#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "trainer/device_memory.h"

namespace tunesmith::trainer {

// DeviceMemory::Allocate for a CUDA device. UNIMPLEMENTED in a build without CUDA.
absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateCudaMemory(CudaContext& context,
                                                                 int64_t size_bytes);

}  // namespace tunesmith::trainer
