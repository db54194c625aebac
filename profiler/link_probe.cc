#include "profiler/link_probe.h"

#include <vector>

#include "common/median.h"
#include "common/status_macros.h"
#include "common/units.h"
#include "profiler/run_step.h"
#include "trainer/device_memory.h"

namespace tunesmith::profiler {
namespace {

using trainer::DeviceMemory;

constexpr int64_t kBytes = 256 * kMiB;
constexpr int kRounds = 5;

// Of `copy`, which queues one.
template <typename Copy>
absl::StatusOr<double> BytesPerSecond(DeviceMemory& device, const Copy& copy) {
  std::vector<double> seconds;
  for (int round = 0; round <= kRounds; ++round) {
    const double start = MonotonicSeconds();
    TUNESMITH_RETURN_IF_ERROR(copy());
    TUNESMITH_RETURN_IF_ERROR(device.Synchronize());
    if (round > 0) seconds.push_back(MonotonicSeconds() - start);
  }
  return static_cast<double>(kBytes) / Median(seconds);
}

}  // namespace

absl::StatusOr<LinkRates> MeasureLink(const trainer::OpContext& context) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto device, DeviceMemory::Allocate(context, kBytes));
  TUNESMITH_ASSIGN_OR_RETURN(const auto host, DeviceMemory::AllocateOnHost(context, kBytes));
  TUNESMITH_RETURN_IF_ERROR(host->Fill(0, kBytes, 0x5a));
  LinkRates rates;
  TUNESMITH_ASSIGN_OR_RETURN(rates.to_device_bytes_per_second, BytesPerSecond(*device, [&] {
                               return device->CopyFromHost(0, host->data(), kBytes);
                             }));
  TUNESMITH_ASSIGN_OR_RETURN(rates.from_device_bytes_per_second, BytesPerSecond(*device, [&] {
                               return device->CopyToHost(host->data(), 0, kBytes);
                             }));
  return rates;
}

}  // namespace tunesmith::profiler
