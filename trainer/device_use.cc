#include "trainer/device_use.h"

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context.h"

namespace tunesmith::trainer {

absl::StatusOr<int64_t> DeviceBytesInUse(const OpContext& context) {
  if (context.device != planner::BackendKind::kCuda) return 0;
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t free_bytes, context.cuda->FreeMemoryBytes());
  return context.cuda->info().memory_bytes - free_bytes;
}

int64_t AllocatedBytes(const OpContext& context, int64_t bytes) {
  return context.device == planner::BackendKind::kCuda ? AlignUp(bytes, kGpuPageBytes) : bytes;
}

}  // namespace tunesmith::trainer
