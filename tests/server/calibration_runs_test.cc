#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/calibration_fixture.h"

// Runs that measure: what is asked for, refused, waited for and gone on with.
namespace tunesmith::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(CalibrationTest, ARunMeasuresTellsAndIsUsed) {
  const auto server = Serve();
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "") << "datasheets";
  v1::StartCalibrationRequest request;
  request.mutable_spec()->set_context(64);
  request.mutable_spec()->mutable_budget()->set_seconds(5);
  const std::string name = Start(*server, request);
  EXPECT_EQ(name, "calibrationRuns/1");
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED) << run.reason();
  EXPECT_EQ(run.progress().done_probe_count(), 4);
  EXPECT_EQ(run.spec().device(), "cpu");
  EXPECT_EQ(run.spec().model_name(), "SmolLM2-135M") << "defaults are filled in";
  EXPECT_TRUE(run.has_start_time());
  EXPECT_THAT(Starts(), ElementsAre(AllOf(HasSubstr("--context 64"), HasSubstr("--budget 5s"),
                                          HasSubstr("--device cpu"))));
  const v1::ListCalibrationsResponse list = List(*server);
  ASSERT_EQ(list.calibrations_size(), 1);
  EXPECT_EQ(list.calibrations(0).name(), run.calibration());
  EXPECT_EQ(list.calibrations(0).source(), name);
  EXPECT_EQ(list.calibrations(0).use(), v1::CALIBRATION_USE_IN_USE);
  EXPECT_EQ(list.calibrations(0).point_count(), 1);
  EXPECT_EQ(list.calibrations(0).calibration().rates_size(), 0) << "lists are short";
  EXPECT_EQ("calibrations/" + CalibrationOfAnAnswer(*server), run.calibration());
}

TEST_F(CalibrationTest, ASecondRunOfADeviceIsRefusedAndTheFirstNamed) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "300"}});
  const std::string name = Start(*server);
  const grpc::Status refused = TryStart(*server, {});
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(refused), "CALIBRATION_RUNS_ALREADY");
  EXPECT_THAT(refused.error_message(), HasSubstr(name));
  WaitForEnd(*server, name);
  EXPECT_TRUE(TryStart(*server, {}).ok()) << "after its end";
}

TEST_F(CalibrationTest, RunsOfTwoDevicesTakeTurns) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "100"}});
  const std::string first = Start(*server);
  v1::StartCalibrationRequest gpu;
  gpu.mutable_spec()->set_device("cuda:0");
  gpu.mutable_spec()->set_hardware_name("A100-80GB");
  const std::string second = Start(*server, gpu);
  WaitUntil(*server, second, [&](const v1::CalibrationRun& run) {
    return run.reason().find(first) != std::string::npos;
  });
  EXPECT_EQ(WaitForEnd(*server, second).state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED);
  EXPECT_THAT(Starts(), ElementsAre(HasSubstr("--device cpu"), HasSubstr("--hardware A100-80GB")));
  EXPECT_FALSE(Overlapped());
}

TEST_F(CalibrationTest, ARepeatedStartGetsTheStoredAnswer) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "100"}});
  v1::StartCalibrationRequest request;
  request.set_request_id("once");
  const std::string name = Start(*server, request);
  EXPECT_EQ(Start(*server, request), name) << "though one runs";
  WaitForEnd(*server, name);
  EXPECT_EQ(Start(*server, request), name);
  request.mutable_spec()->set_context(32);
  EXPECT_EQ(TryStart(*server, request).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Starts().size(), 1u);
}

std::string CreateJob(ServerProcess& server, const v1::CreateJobRequest& request) {
  v1::CreateJobResponse response;
  grpc::ClientContext context;
  const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job().name();
}

TEST_F(CalibrationTest, ARunWaitsForJobsAndJobsWaitForIt) {
  const auto server = Serve({{"FAKE_STEP_MILLISECONDS", "20"}, {"FAKE_PROBE_MILLISECONDS", "300"}});
  const std::string job = CreateJob(*server, TestJob(scratch_, 40));
  server->WaitFor(job, v1::JOB_STATE_RUNNING);
  v1::StartCalibrationRequest request;
  request.set_refuse_if_busy(true);
  const grpc::Status refused = TryStart(*server, request);
  EXPECT_EQ(ReasonOf(refused), "HOST_IS_BUSY");
  EXPECT_THAT(refused.error_message(), HasSubstr(job));
  const std::string name = Start(*server);
  WaitUntil(*server, name, [&](const v1::CalibrationRun& run) {
    return run.reason().find(job) != std::string::npos;
  });
  EXPECT_FALSE(Get(*server, name).has_start_time());
  v1::CreateJobRequest small = TestJob(scratch_, 2);
  small.mutable_spec()->set_thread_count(1);
  const std::string later = CreateJob(*server, small);
  WaitForProbe(*server, name);
  const v1::Job waiting = server->WaitFor(later, v1::JOB_STATE_QUEUED);
  EXPECT_EQ(waiting.state(), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(waiting.reason(), HasSubstr(name));
  EXPECT_TRUE(WaitForEnd(*server, name).has_start_time());
  EXPECT_EQ(server->WaitFor(later).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(CalibrationTest, WrongSpecsAreRefusedFieldByField) {
  const auto server = Serve();
  v1::StartCalibrationRequest request;
  request.mutable_spec()->set_device("tpu");
  request.mutable_spec()->set_hardware_name("A100-80GB");
  request.mutable_spec()->set_context(-1);
  request.mutable_spec()->set_thread_count(-1);
  request.mutable_spec()->mutable_budget()->set_seconds(100000);
  const grpc::Status status = TryStart(*server, request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(
      status.error_message(),
      AllOf(HasSubstr("spec.device"), HasSubstr("spec.hardware_name"), HasSubstr("spec.context"),
            HasSubstr("spec.thread_count"), HasSubstr("spec.budget")));
  request = {};
  request.mutable_spec()->set_device("cuda:1");
  EXPECT_THAT(TryStart(*server, request).error_message(),
              HasSubstr("spec.hardware_name: is empty"));
  request.mutable_spec()->set_hardware_name("A101");
  EXPECT_EQ(TryStart(*server, request).error_code(), grpc::StatusCode::NOT_FOUND);
  request = {};
  request.mutable_spec()->set_model_name("SmolLM3-135M");
  EXPECT_EQ(ReasonOf(TryStart(*server, request)), "MODEL_NOT_FOUND");
  request.mutable_spec()->set_model_name("/absent/model");
  EXPECT_EQ(ReasonOf(TryStart(*server, request)), "MODEL_NOT_FOUND");
  EXPECT_TRUE(Starts().empty());
}

// All of it with the profiler that measures.
TEST_F(CalibrationTest, ARunThatIsCancelledIsGoneOnWith) {
  const auto server = Serve({}, BinaryPath("tunesmith-profiler"));
  v1::StartCalibrationRequest request;
  request.mutable_spec()->set_context(16);
  request.mutable_spec()->mutable_budget()->set_seconds(10);
  request.mutable_spec()->set_allow_noise(true);
  const std::string first = Start(*server, request);
  WaitForProbe(*server, first);
  ASSERT_TRUE(Cancel(*server, first).ok());
  const v1::CalibrationRun cancelled = WaitForEnd(*server, first);
  EXPECT_EQ(cancelled.state(), v1::CALIBRATION_RUN_STATE_CANCELLED) << cancelled.reason();
  request.mutable_spec()->mutable_budget()->set_seconds(1);
  const v1::CalibrationRun run = WaitForEnd(*server, Start(*server, request));
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED) << run.reason();
  EXPECT_GE(run.progress().resumed_probe_count(), cancelled.progress().done_probe_count());
  EXPECT_GE(run.progress().done_probe_count(), 3);
  EXPECT_EQ("calibrations/" + CalibrationOfAnAnswer(*server), run.calibration());
}

}  // namespace
}  // namespace tunesmith::server
