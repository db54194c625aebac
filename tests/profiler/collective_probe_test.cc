#include "profiler/collective_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/mpi_launch.h"
#include "planner/price/calibration_import.h"

namespace tunesmith::profiler {
namespace {

using Places = std::map<std::string, std::set<std::pair<int64_t, int64_t>>>;

void ExpectAll(const planner::Calibration& calibration) {
  Places places;
  for (const planner::OpRate& rate : calibration.rates)
    places[rate.op_kind].insert({rate.bytes, rate.rank_count});
  EXPECT_EQ(places.size(), 4u);
  for (const char* kind : {"all_gather", "reduce_scatter", "all_reduce", "all_to_all"})
    EXPECT_EQ(places[kind].size(), 6u) << kind;
  const absl::Status valid = planner::ValidateCalibration(calibration);
  EXPECT_TRUE(valid.ok()) << valid;
}

planner::Calibration Begun() {
  planner::Calibration calibration;
  calibration.id = "cpu-1";
  calibration.device_name = "cpu";
  return calibration;
}

TEST(CollectiveProbeTest, RanksThatAreThreadsAreMeasured) {
  planner::Calibration calibration = Begun();
  const absl::Status status = ProbeCollectives("", calibration);
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(calibration);
}

TEST(CollectiveProbeTest, RanksThatAreProcessesAreMeasured) {
  const std::string profiler =
      std::string(std::getenv("TUNESMITH_BIN_DIR")) + "/tunesmith-profiler";
  if (MpirunCommand(profiler, 2).empty()) GTEST_SKIP() << MpirunNeeds();
  planner::Calibration threads = Begun(), processes = Begun();
  ASSERT_TRUE(ProbeCollectives("", threads).ok());
  const absl::Status status = ProbeCollectives(profiler, processes);
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(processes);
  EXPECT_NE(threads.rates[0].bytes_per_second, processes.rates[0].bytes_per_second);
}

// What is no rank, or does not come to an end well, is measured as threads.
TEST(CollectiveProbeTest, WhereMpiDoesNotWorkThreadsAreMeasured) {
  planner::Calibration calibration = Begun();
  const absl::Status status = ProbeCollectives("/bin/false", calibration);
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(calibration);
}

}  // namespace
}  // namespace tunesmith::profiler
