#include "trainer/job/rank_device.h"

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/cuda_context.h"

namespace tunesmith::trainer {
namespace {

constexpr std::string_view kCudaPrefix = "cuda:";

bool IsCuda(const std::string& device) { return device.starts_with(kCudaPrefix); }

}  // namespace

absl::StatusOr<std::string> DeviceOfRank(const std::string& device, int64_t local_rank,
                                         int64_t visible_count) {
  int64_t first = 0;
  // OpenDevice says what is wrong with a number that is none.
  if (!IsCuda(device) || !ParseInt64(device.substr(kCudaPrefix.size()), &first)) return device;
  if (visible_count == 1 && first == 0) return device;
  if (first + local_rank < visible_count) return StrCat(kCudaPrefix, first + local_rank);
  return absl::FailedPreconditionError(
      StrCat("rank ", local_rank, " of its node needs CUDA device ", first + local_rank,
             ", and its process sees ", visible_count,
             "; start no more ranks on a node than it has devices from ", device, " on"));
}

absl::StatusOr<std::string> DeviceOfRank(const std::string& device, int64_t local_rank) {
  if (!IsCuda(device)) return device;
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t visible_count, CountCudaDevices());
  return DeviceOfRank(device, local_rank, visible_count);
}

}  // namespace tunesmith::trainer
