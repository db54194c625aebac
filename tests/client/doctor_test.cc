#include "client/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

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

TEST(DoctorTest, CuresStandBelowTheTable) {
  const std::string text = ShowFindings(
      {{"memory", Health::kOk, "4 GiB"}, {"driver", Health::kProblem, "old", "install a newer"}});
  EXPECT_THAT(text, HasSubstr("\n\ndriver: install a newer\n"));
  EXPECT_THAT(text, HasSubstr("memory  ok"));
}

}  // namespace
}  // namespace tunesmith::client
