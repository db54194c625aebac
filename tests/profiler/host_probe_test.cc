#include "profiler/host_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

namespace tunesmith::profiler {
namespace {

TEST(HostProbeTest, MemoryIsAsQuickAsMemoryIs) {
  const double rate = HostMemoryBytesPerSecond();
  EXPECT_GT(rate, 1e8);
  EXPECT_LT(rate, 1e13);
}

TEST(HostProbeTest, TheDiskIsMeasuredAndLeftAsItWas) {
  const std::string directory =
      ::testing::TempDir() + "/host_probe_test." + std::to_string(getpid());
  const absl::StatusOr<double> rate = CheckpointBytesPerSecond(directory + "/jobs");
  ASSERT_TRUE(rate.ok()) << rate.status();
  EXPECT_GT(*rate, 1e5);
  EXPECT_LT(*rate, 1e12);
  EXPECT_TRUE(std::filesystem::is_empty(directory + "/jobs"));
  std::filesystem::remove_all(directory);
}

TEST(HostProbeTest, ADirectoryThatCannotBeMadeIsNamed) {
  EXPECT_THAT(CheckpointBytesPerSecond("/proc/jobs").status().message(),
              ::testing::HasSubstr("/proc/jobs"));
}

TEST(HostProbeTest, TheClockIsTheMeanOfTheProcessors) {
  EXPECT_DOUBLE_EQ(HertzOfCpuinfo("processor\t: 0\ncpu MHz\t\t: 2000.5\n\nprocessor\t: 1\ncpu MHz"
                                  "\t\t: 3000.5\n"),
                   2500.5e6);
  EXPECT_EQ(HertzOfCpuinfo("processor\t: 0\nBogoMIPS\t: 100.00\n"), 0) << "an ARM";
}

TEST(HostProbeTest, ResidentMemoryGrowsWithWhatIsTouched) {
  const int64_t before = ResidentBytes();
  EXPECT_GT(before, 0);
  const std::vector<char> touched(64 << 20, 'x');
  EXPECT_GE(ResidentBytes(), before + (60 << 20)) << touched[5];
}

}  // namespace
}  // namespace tunesmith::profiler
