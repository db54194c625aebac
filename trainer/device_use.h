#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/units.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Bytes of the device's memory that are not free now: of this process, its CUDA context and kernels included, and of whoever else uses the device. 0 on the CPU.
absl::StatusOr<int64_t> DeviceBytesInUse(const OpContext& context);

// A GPU hands out memory in pages of so many bytes.
inline constexpr int64_t kGpuPageBytes = 2 * kMiB;

// What the device takes for one allocation of so many bytes.
int64_t AllocatedBytes(const OpContext& context, int64_t bytes);

}  // namespace tunesmith::trainer
