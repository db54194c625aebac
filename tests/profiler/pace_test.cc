#include "profiler/pace.h"

#include <gtest/gtest.h>

#include "trainer/open_device.h"

namespace tunesmith::profiler {
namespace {

TEST(PaceTest, StepsTakeSomeTimeAndNotMuch) {
  const auto device = trainer::OpenDevice::Open("cpu", 2).value();
  Pace pace = Pace::Open(device.context(), planner::Precision::kFp32).value();
  const absl::StatusOr<double> seconds = pace.Measure(), all = pace.MeasureWithOthers();
  ASSERT_TRUE(seconds.ok()) << seconds.status();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_GT(*seconds, 1e-4);
  EXPECT_LT(*seconds, 10);
  EXPECT_GT(*all, 1e-4);
  EXPECT_LT(pace.arena_bytes(), 100 << 20);
}

// Each rank has half of the threads. Anything between sharing nothing and waiting for each other all the time; other work on the host blurs it.
TEST(PaceTest, RanksThatShareTheProcessorsAreMeasuredBesideEachOther) {
  const auto device = trainer::OpenDevice::Open("cpu", 2).value();
  const auto factor = SharingFactor(device.context(), planner::Precision::kFp32);
  ASSERT_TRUE(factor.ok()) << factor.status();
  EXPECT_GT(*factor, 0.1);
  EXPECT_LT(*factor, 20);
}

}  // namespace
}  // namespace tunesmith::profiler
