#include "client/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>

#include "common/file.h"
#include "common/host_fingerprint.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "tests/common/temporary_directory.h"

namespace tunesmith::client {
namespace {

using ::testing::HasSubstr;

TEST(DoctorTest, LimitsAreJudgedByWhatNeedsThem) {
  EXPECT_EQ(ExamineSharedMemory(int64_t{64} << 20).health, Health::kProblem);
  EXPECT_THAT(ExamineSharedMemory(int64_t{64} << 20).cure, HasSubstr("--shm-size"));
  EXPECT_EQ(ExamineSharedMemory(int64_t{8} << 30).health, Health::kOk);
  EXPECT_EQ(ExamineLockedMemory(65536, false).health, Health::kOk);
  EXPECT_EQ(ExamineLockedMemory(65536, true).health, Health::kProblem);
  EXPECT_EQ(ExamineLockedMemory(INT64_MAX, true).found, "unlimited");
  EXPECT_EQ(ExamineOpenFiles(1024).health, Health::kAbsent);
}

TEST(DoctorTest, WhateverIsNotRightHasACure) {
  ClientOptions nowhere;
  nowhere.server = "127.0.0.1:1";
  bool saw_server = false;
  for (const Finding& finding : ExamineHost(nowhere)) {
    EXPECT_EQ(finding.cure.empty(), finding.health == Health::kOk) << finding.subject;
    EXPECT_FALSE(finding.found.empty()) << finding.subject;
    if (finding.subject != "server") continue;
    saw_server = true;
    EXPECT_EQ(finding.health, Health::kAbsent);
    EXPECT_THAT(finding.cure, HasSubstr("tunesmithd"));
  }
  EXPECT_TRUE(saw_server);
}

TEST(DoctorTest, ACalibrationOfEitherPrecisionIsNamed) {
  const TemporaryDirectory state;
  planner::Calibration calibration;
  calibration.id = "cpu-narrow";
  calibration.device_name = "cpu";
  calibration.fingerprint = HostFingerprint();
  calibration.measured_at = "2026-03-01T10:15:00Z";
  calibration.precision = planner::Precision::kBf16;
  const std::string directory = state.path() + "/tunesmith/calibrations";
  ASSERT_TRUE(MakeDirectories(directory).ok());
  ASSERT_TRUE(
      convert::WriteJsonFile(directory + "/cpu-narrow.json", convert::ToProto(calibration)).ok());
  setenv("XDG_STATE_HOME", state.path().c_str(), 1);
  std::string found;
  for (const Finding& finding : ExamineHost({})) {
    if (finding.subject == "calibration") found = finding.found;
  }
  EXPECT_EQ(found, "cpu-narrow, of 2026-03-01T10:15:00Z");
  unsetenv("XDG_STATE_HOME");
}

TEST(DoctorTest, CuresStandBelowTheTable) {
  const std::string text = ShowFindings(
      {{"memory", Health::kOk, "4 GiB"}, {"driver", Health::kProblem, "old", "install a newer"}});
  EXPECT_THAT(text, HasSubstr("\n\ndriver: install a newer\n"));
  EXPECT_THAT(text, HasSubstr("memory  ok"));
}

}  // namespace
}  // namespace tunesmith::client
