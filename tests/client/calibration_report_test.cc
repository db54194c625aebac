#include "client/calibration_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::Measurement Measured(const std::string& method, double ratio, double memory_ratio = 0) {
  v1::Measurement m;
  m.set_device_name("cpu");
  m.set_model_name("SmolLM2-135M");
  m.set_mix_line("method=" + method + " zero_stage=0");
  m.mutable_predicted()->mutable_time()->set_step_seconds(2);
  m.mutable_predicted()->mutable_time()->set_low_seconds(1.8);
  m.mutable_predicted()->mutable_time()->set_high_seconds(2.2);
  m.mutable_measured()->set_step_seconds(2 * ratio);
  m.set_step_seconds_ratio(ratio);
  m.set_device_memory_ratio(memory_ratio);
  return m;
}

TEST(CalibrationReportTest, GroupsByDeviceMethodAndModel) {
  const auto groups = GroupMeasurements({Measured("lora:r16", 1.1, 1.02), Measured("full", 1.3),
                                         Measured("lora:r8", 0.94, 0.99), Measured("lora:r8", 0)});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].method, "full");
  EXPECT_EQ(groups[1].method, "lora");
  EXPECT_EQ(groups[1].step_count, 2);
  EXPECT_NEAR(groups[1].step_mean_error, 0.08, 1e-12);
  EXPECT_NEAR(groups[1].step_bias, 0.02, 1e-12);
  EXPECT_EQ(groups[1].inside_count, 2);
  EXPECT_EQ(groups[1].memory_count, 2);
  EXPECT_EQ(groups[1].memory_over_count, 1);
  EXPECT_EQ(groups[0].inside_count, 0);
}

TEST(CalibrationReportTest, WarnsOfDriftOnlyWhenThereIsEnoughOfIt) {
  const v1::Measurement slow = Measured("full", 1.5), good = Measured("full", 1.0);
  EXPECT_FALSE(GroupMeasurements({slow, slow, slow, slow})[0].HasDrifted());
  EXPECT_FALSE(GroupMeasurements({slow, good, good, good, good})[0].HasDrifted());
  const auto drifted = GroupMeasurements({slow, slow, good, good, good});
  EXPECT_TRUE(drifted[0].HasDrifted());
  EXPECT_THAT(ShowCalibrationReport(drifted),
              HasSubstr("warning: 2 of 5 steps of full on cpu (SmolLM2-135M) lie outside"));
  EXPECT_THAT(ShowCalibrationReport(GroupMeasurements({good})), Not(HasSubstr("warning")));
  EXPECT_THAT(ShowCalibrationReport({}), HasSubstr("no measurements yet"));
}

}  // namespace
}  // namespace tunesmith::client
