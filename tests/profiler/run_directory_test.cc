#include "profiler/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "proto/convert/json.h"

namespace tunesmith::profiler {
namespace {

using ::testing::HasSubstr;

class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectoryTest() { std::filesystem::remove_all(path_); }
  ~RunDirectoryTest() override { std::filesystem::remove_all(path_); }

  v1::CalibrationProgress Told() const {
    v1::CalibrationProgress progress;
    EXPECT_TRUE(convert::ReadJsonFile(path_ + "/progress.json", &progress).ok());
    return progress;
  }

  const std::string path_ =
      ::testing::TempDir() + "/run_directory_test." + std::to_string(getpid());
};

TEST_F(RunDirectoryTest, TellsItsProcessHowFarItIsAndTheEnd) {
  auto run = RunDirectory::Claim(path_);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(Told().process_id(), getpid());
  EXPECT_TRUE(IsFileLocked(path_ + "/lock"));
  v1::CalibrationProgress progress;
  progress.set_done_probe_count(3);
  run->Tell(progress);
  EXPECT_EQ(Told().done_probe_count(), 3);
  EXPECT_EQ(Told().process_id(), getpid());
  planner::Calibration calibration;
  calibration.id = "cpu-1";
  ASSERT_TRUE(run->TellEnd(calibration).ok());
  EXPECT_EQ(Told().calibration_id(), "cpu-1");
  EXPECT_EQ(Told().done_probe_count(), 3);
}

TEST_F(RunDirectoryTest, TellsWhyThereIsNoCalibration) {
  auto run = RunDirectory::Claim(path_);
  ASSERT_TRUE(run->TellEnd(absl::FailedPreconditionError("too busy")).ok());
  EXPECT_EQ(Told().error(), "too busy");
}

TEST_F(RunDirectoryTest, IsClaimedOnce) {
  {
    const auto run = RunDirectory::Claim(path_);
    ASSERT_TRUE(run.ok());
    EXPECT_THAT(RunDirectory::Claim(path_).status().message(), HasSubstr("held by another"));
  }
  EXPECT_THAT(RunDirectory::Claim(path_).status().message(), HasSubstr("was run"))
      << "its profiler may have been killed";
}

TEST_F(RunDirectoryTest, NobodyNeedsToBeTold) {
  auto run = RunDirectory::Claim("");
  ASSERT_TRUE(run.ok());
  run->Tell({});
  EXPECT_TRUE(run->TellEnd(planner::Calibration()).ok());
}

}  // namespace
}  // namespace tunesmith::profiler
