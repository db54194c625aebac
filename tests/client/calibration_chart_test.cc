#include "client/calibration_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::client {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

v1::Measurement Step(const std::string& method, double predicted, double measured) {
  v1::Measurement m;
  m.set_device_name("cpu");
  m.set_model_name("<model>");
  m.set_mix_line("method=" + method + " zero_stage=0");
  m.mutable_predicted()->mutable_time()->set_step_seconds(predicted);
  m.mutable_predicted()->mutable_time()->set_low_seconds(0.9 * predicted);
  m.mutable_predicted()->mutable_time()->set_high_seconds(1.1 * predicted);
  m.mutable_measured()->set_step_seconds(measured);
  m.set_step_seconds_ratio(predicted > 0 ? measured / predicted : 0);
  return m;
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(CalibrationChartTest, AMarkForEachStepByDeviceAndMethod) {
  const std::string svg =
      CalibrationChart({Step("full", 1, 1.05), Step("full", 2, 3), Step("lora:r8", 0.5, 0.5)});
  EXPECT_THAT(svg, AllOf(StartsWith("<svg"), HasSubstr("xmlns="), HasSubstr("cpu, full"),
                         HasSubstr("cpu, lora"), HasSubstr("as predicted")));
  EXPECT_EQ(Count(svg, "<title>"), 3);
  EXPECT_EQ(Count(svg, "outside its interval"), 1);
  EXPECT_THAT(svg, AllOf(HasSubstr("&lt;model&gt;"), Not(HasSubstr("<model>"))));
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("<script")), Not(HasSubstr("href"))));
}

TEST(CalibrationChartTest, WithoutStepsThereIsNone) {
  EXPECT_EQ(CalibrationChart({}), "");
  EXPECT_EQ(CalibrationChart({Step("full", 0, 1)}), "") << "nothing was predicted";
}

}  // namespace
}  // namespace tunesmith::client
