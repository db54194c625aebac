#include "server/drift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/measurements.h"
#include "server/operations/metrics.h"
#include "server/store.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// Predicted 1 s, 0.9 s to 1.1 s.
v1::Measurement Step(double measured, const std::string& method = "full",
                     const std::string& calibration = "cpu-1") {
  v1::Measurement m;
  m.set_device_name("cpu");
  m.set_mix_line("method=" + method + " zero_stage=0");
  m.set_calibration_id(calibration);
  m.mutable_measured()->set_step_seconds(measured);
  m.mutable_predicted()->mutable_time()->set_step_seconds(1);
  m.mutable_predicted()->mutable_time()->set_low_seconds(0.9);
  m.mutable_predicted()->mutable_time()->set_high_seconds(1.1);
  m.set_step_seconds_ratio(measured);
  return m;
}

TEST(DriftTest, WarnsWhenMoreThanThreeInTenStepsOfFiveLeaveTheirInterval) {
  Drift drift;
  for (int i = 0; i < 4; ++i) drift.Add(Step(1.5));
  EXPECT_EQ(drift.WarningOf("cpu", "full", "cpu-1"), "") << "four are too few";
  drift.Add(Step(1.0));
  EXPECT_THAT(drift.WarningOf("cpu", "full", "cpu-1"),
              AllOf(HasSubstr("last 5 jobs by full on cpu, 4"), HasSubstr("again")));
  const auto told = [](const char* interval) {
    return ProcessMetrics()
        .CounterOf("tunesmith_measured_steps_total", "", {{"interval", interval}})
        .value();
  };
  EXPECT_EQ(told("outside"), 4);
  EXPECT_EQ(told("inside"), 1);
  EXPECT_EQ(drift.WarningOf("cpu", "lora", "cpu-1"), "");
  EXPECT_EQ(drift.WarningOf("cpu", "full", "cpu-2"), "") << "a new calibration begins anew";
}

// Kept answers rest on the version: steps that change no warning leave them be.
TEST(DriftTest, TheVersionChangesWithTheWarningsAlone) {
  Drift drift;
  for (int i = 0; i < 30; ++i) drift.Add(Step(1));
  EXPECT_EQ(drift.version(), 0);
  for (int i = 0; i < 7; ++i) drift.Add(Step(2));
  const int64_t warned = drift.version();
  EXPECT_GT(warned, 0);
  drift.Add(Step(1));
  EXPECT_GT(drift.version(), warned) << "the warning counts otherwise, or is gone";
}

TEST(DriftTest, OldStepsAreForgotten) {
  Drift drift;
  for (int i = 0; i < 20; ++i) drift.Add(Step(2));
  for (int i = 0; i < 13; ++i) drift.Add(Step(1));
  EXPECT_NE(drift.WarningOf("cpu", "full", "cpu-1"), "") << "7 of the last 20";
  drift.Add(Step(1));
  EXPECT_EQ(drift.WarningOf("cpu", "full", "cpu-1"), "") << "6 of the last 20";
}

TEST(DriftTest, WhatWasNotMeasuredOrPredictedSaysNothing) {
  Drift drift;
  v1::Measurement memory_only = Step(0);
  for (int i = 0; i < 9; ++i) drift.Add(memory_only);
  EXPECT_EQ(drift.version(), 0);
  EXPECT_EQ(drift.WarningOf("cpu", "full", "cpu-1"), "");
}

class DriftServerTest : public ::testing::Test {
 protected:
  static v1::RecommendResponse Ask(ServerProcess& server) {
    v1::RecommendRequest request;
    request.mutable_question()->set_model_name("SmolLM2-135M");
    request.mutable_question()->set_device_name("cpu");
    request.mutable_question()->mutable_workload()->set_context(64);
    request.mutable_question()->mutable_workload()->set_rows_per_step(1);
    request.mutable_question()->set_method(v1::METHOD_LORA);
    v1::RecommendResponse response;
    grpc::ClientContext context;
    const grpc::Status status = server.recommender().Recommend(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static std::vector<std::string> Notes(const v1::RecommendResponse& response) {
    return {response.notes().begin(), response.notes().end()};
  }

  ScratchDirectory scratch_;
};

TEST_F(DriftServerTest, AnswersSayThatStepsLeaveTheirIntervals) {
  const std::string data = scratch_.path() + "/data";
  auto server = std::make_unique<ServerProcess>(data);
  v1::ReportMeasurementRequest report;
  *report.mutable_plan() = Ask(*server).plan();
  report.mutable_measured()->set_step_seconds(10 *
                                              report.plan().prediction().time().high_seconds());
  const auto drifted = Contains(HasSubstr("outside the predicted interval"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Notes(Ask(*server)), Not(drifted)) << i;
    v1::ReportMeasurementResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(server->measurements().ReportMeasurement(&context, report, &response).ok());
  }
  EXPECT_THAT(Notes(Ask(*server)), drifted) << "also of an answer that was kept";
  server.reset();
  server = std::make_unique<ServerProcess>(data);
  EXPECT_THAT(Notes(Ask(*server)), drifted) << "a server remembers";
}

TEST_F(DriftServerTest, AJobIsToldThatItsStepsTookLonger) {
  ServerProcess server(scratch_.path() + "/data", {{"FAKE_MEASURED_STEP_SECONDS", "3"}});
  for (const double high_seconds : {4.0, 2.0}) {
    v1::CreateJobRequest request = TestJob(scratch_, 2);
    v1::TimePrediction& time = *request.mutable_plan()->mutable_prediction()->mutable_time();
    time.set_step_seconds(high_seconds * 0.9);
    time.set_low_seconds(high_seconds * 0.7);
    time.set_high_seconds(high_seconds);
    v1::CreateJobResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(server.jobs().CreateJob(&context, request, &response).ok());
    const std::string name = response.job().name();
    EXPECT_EQ(server.WaitFor(name).state(), v1::JOB_STATE_SUCCEEDED);
    std::vector<std::string> warnings;
    for (const v1::Event& event : server.Watch(name))
      if (event.log().severity() == v1::LOG_SEVERITY_WARNING)
        warnings.push_back(event.log().text());
    if (high_seconds > 3) {
      EXPECT_TRUE(warnings.empty());
    } else {
      ASSERT_EQ(warnings.size(), 1u);
      EXPECT_THAT(warnings[0], HasSubstr("outside the predicted 1.40 s to 2.00 s"));
    }
  }
}

}  // namespace
}  // namespace tunesmith::server
