#include "profiler/host_probe.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "planner/price/calibration_import.h"

namespace tunesmith::profiler {
namespace {

TEST(HostProbeTest, CollectivesOfSeveralSizesAndGroupsAreMeasured) {
  planner::Calibration calibration;
  calibration.id = "cpu-1";
  calibration.device_name = "cpu";
  const absl::Status status = ProbeCollectives(calibration);
  ASSERT_TRUE(status.ok()) << status;
  std::map<std::string, std::set<std::pair<int64_t, int64_t>>> places;
  for (const planner::OpRate& rate : calibration.rates)
    places[rate.op_kind].insert({rate.bytes, rate.rank_count});
  for (const char* kind : {"all_gather", "reduce_scatter", "all_reduce", "all_to_all"})
    EXPECT_EQ(places[kind].size(), 6u) << kind;
  const absl::Status valid = planner::ValidateImportedCalibration(calibration);
  EXPECT_TRUE(valid.ok()) << valid;
}

TEST(HostProbeTest, MemoryIsAsQuickAsMemoryIs) {
  const double rate = HostMemoryBytesPerSecond();
  EXPECT_GT(rate, 1e8);
  EXPECT_LT(rate, 1e13);
}

TEST(HostProbeTest, ResidentMemoryGrowsWithWhatIsTouched) {
  const int64_t before = ResidentBytes();
  EXPECT_GT(before, 0);
  const std::vector<char> touched(64 << 20, 'x');
  EXPECT_GE(ResidentBytes(), before + (60 << 20)) << touched[5];
}

}  // namespace
}  // namespace tunesmith::profiler
