#include "profiler/collective_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

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

// Keeps what is told.
struct Notes {
  std::vector<std::string> said;
  Note note = [this](const std::string& text) { said.push_back(text); };
};

planner::Calibration Begun() {
  planner::Calibration calibration;
  calibration.id = "cpu-1";
  calibration.device_name = "cpu";
  return calibration;
}

TEST(CollectiveProbeTest, RanksThatAreThreadsAreMeasured) {
  planner::Calibration calibration = Begun();
  Notes notes;
  const absl::Status status = ProbeCollectives("", notes.note, calibration);
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(calibration);
  EXPECT_TRUE(notes.said.empty()) << "threads were asked for";
}

TEST(CollectiveProbeTest, RanksThatAreProcessesAreMeasured) {
  const std::string profiler =
      std::string(std::getenv("TUNESMITH_BIN_DIR")) + "/tunesmith-profiler";
  if (MpirunCommand(profiler, 2).empty()) GTEST_SKIP() << MpirunNeeds();
  planner::Calibration threads = Begun(), processes = Begun();
  Notes notes;
  ASSERT_TRUE(ProbeCollectives("", notes.note, threads).ok());
  const absl::Status status = ProbeCollectives(profiler, notes.note, processes);
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(processes);
  EXPECT_TRUE(notes.said.empty()) << notes.said[0];
  EXPECT_NE(threads.rates[0].bytes_per_second, processes.rates[0].bytes_per_second);
}

// What is no rank, or does not come to an end well, is measured as threads, and that is told.
TEST(CollectiveProbeTest, WhereMpiDoesNotWorkThreadsAreMeasured) {
  planner::Calibration calibration = Begun();
  Notes notes;
  const absl::Status status = ProbeCollectives("/bin/false", notes.note, calibration);
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(calibration);
  ASSERT_EQ(notes.said.size(), 2u) << "two ranks, and four";
  EXPECT_NE(notes.said[0].find("2 ranks"), std::string::npos) << notes.said[0];
}

}  // namespace
}  // namespace tunesmith::profiler
