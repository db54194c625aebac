#pragma once

#include "absl/status/status.h"
#include "trainer/arena.h"

namespace tunesmith::trainer {

// Random weights for programs that are timed: small numbers from one stretch that is drawn once and repeated, so that a model of any size is there as soon as memory takes the
// bytes. Devices run faster on zeros than on data, so no matrix has any, adapters and master copies included; norms scale by one. The same on every device.
// Moments keep their values. Errors as Arena::Write.
absl::Status FillWithNoise(Arena& arena);

// The same stretch in bf16 over all of a device's memory, small numbers where it is read as f32 too: what matrix products are measured on. Errors of DeviceMemory.
absl::Status FillWithNoise(const OpContext& context, DeviceMemory& memory);

}  // namespace tunesmith::trainer
