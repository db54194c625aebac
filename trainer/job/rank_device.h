#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// The device of a node's `local_rank`-th rank in a job on `device` ("cpu", or "cuda:N", which is that of the first), where a process sees `visible_count` CUDA
// devices: "cpu", or "cuda:" and the one after that of the rank before. Ranks that see one device each use that one. FAILED_PRECONDITION: there are too few.
absl::StatusOr<std::string> DeviceOfRank(const std::string& device, int64_t local_rank,
                                         int64_t visible_count);

// With the devices that this process sees. Errors of CountCudaDevices.
absl::StatusOr<std::string> DeviceOfRank(const std::string& device, int64_t local_rank);

}  // namespace tunesmith::trainer
