#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "trainer/device_memory.h"

namespace tunesmith::trainer {

// DeviceMemory::Allocate for a CUDA device. UNIMPLEMENTED in a build without CUDA.
absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateCudaMemory(CudaContext& context,
                                                                 int64_t size_bytes);

// Page-locked memory of the host, which a CUDA device reads and writes without a detour; pageable, with a note of the context, where the host does not lock so much: copies from it
// then hold up who queues them. RESOURCE_EXHAUSTED where there is no such memory either. UNIMPLEMENTED in a build without CUDA.
absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocatePinnedMemory(CudaContext& context,
                                                                   int64_t size_bytes);

}  // namespace tunesmith::trainer
