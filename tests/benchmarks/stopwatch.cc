#include "tests/benchmarks/stopwatch.h"

#include <algorithm>
#include <vector>

#include "common/status_macros.h"
#include "common/units.h"

namespace tunesmith::trainer {
namespace {

// Larger than the L2 cache of any device of the catalog.
constexpr int64_t kFlushBytes = 256 * kMiB;
constexpr int kMinRepeats = 5;
constexpr int kMaxRepeats = 50;

}  // namespace

absl::StatusOr<Stopwatch> Stopwatch::Create(const OpContext& context, double seconds) {
  Stopwatch watch(context, seconds);
  TUNESMITH_ASSIGN_OR_RETURN(watch.timer_, DeviceTimer::Create(context));
  TUNESMITH_ASSIGN_OR_RETURN(watch.flush_, DeviceMemory::Allocate(context, kFlushBytes));
  return watch;
}

absl::StatusOr<double> Stopwatch::Measure(const std::function<absl::Status()>& work) {
  return Median(work, true);
}

absl::StatusOr<double> Stopwatch::MeasureRepeated(const std::function<absl::Status()>& work) {
  return Median(work, false);
}

absl::StatusOr<double> Stopwatch::Median(const std::function<absl::Status()>& work, bool flushes) {
  TUNESMITH_RETURN_IF_ERROR(Once(work, flushes).status());
  std::vector<double> seconds;
  double total = 0;
  while (seconds.size() < kMinRepeats || (total < seconds_ && seconds.size() < kMaxRepeats)) {
    TUNESMITH_ASSIGN_OR_RETURN(const double once, Once(work, flushes));
    seconds.push_back(once);
    total += once;
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2),
                   seconds.end());
  return seconds[seconds.size() / 2];
}

absl::StatusOr<double> Stopwatch::Once(const std::function<absl::Status()>& work, bool flushes) {
  if (flushes) TUNESMITH_RETURN_IF_ERROR(flush_->Fill(0, kFlushBytes, 0x5a));
  TUNESMITH_RETURN_IF_ERROR(timer_->Start());
  TUNESMITH_RETURN_IF_ERROR(work());
  TUNESMITH_RETURN_IF_ERROR(timer_->Stop());
  return timer_->Seconds();
}

}  // namespace tunesmith::trainer
