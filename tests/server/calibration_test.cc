#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include "absl/time/clock.h"
#include "common/host_fingerprint.h"
#include "proto/convert/json.h"
#include "tests/server/server_process.h"
#include "tunesmith/v1/status.pb.h"

// Calibrations as the service makes and keeps them: the server is a process that is killed and started again.
namespace tunesmith::server {
namespace {

using Environment = std::map<std::string, std::string>;
using Stub = v1::CalibrationService::Stub;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kReal[] = "tunesmith-profiler";

template <typename Request, typename Response>
grpc::Status Call(ServerProcess& server,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return (server.calibrations().*method)(&context, request, response);
}

class CalibrationTest : public ::testing::Test {
 protected:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  std::unique_ptr<ServerProcess> Serve(const Environment& environment = {},
                                       const std::string& profiler = FakeProfilerPath()) {
    return std::make_unique<ServerProcess>(DataDirectory(), environment,
                                           std::vector<std::string>{"--profiler", profiler});
  }
  static grpc::Status TryStart(ServerProcess& server, const v1::StartCalibrationRequest& request,
                               v1::CalibrationRun* run = nullptr) {
    v1::StartCalibrationResponse response;
    const grpc::Status status = Call(server, &Stub::StartCalibration, request, &response);
    if (run != nullptr) *run = response.run();
    return status;
  }
  static std::string Start(ServerProcess& server, const v1::StartCalibrationRequest& request = {}) {
    v1::CalibrationRun run;
    const grpc::Status status = TryStart(server, request, &run);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return run.name();
  }
  static v1::CalibrationRun Get(ServerProcess& server, const std::string& name) {
    v1::GetCalibrationRunRequest request;
    request.set_name(name);
    v1::GetCalibrationRunResponse response;
    const grpc::Status status = Call(server, &Stub::GetCalibrationRun, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.run();
  }
  template <typename Condition>
  static v1::CalibrationRun WaitUntil(ServerProcess& server, const std::string& name,
                                      const Condition& holds) {
    v1::CalibrationRun run;
    for (int i = 0; i < 3000; ++i) {
      run = Get(server, name);
      if (holds(run)) return run;
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << "did not get there: " << run.DebugString();
    return run;
  }
  static v1::CalibrationRun WaitForEnd(ServerProcess& server, const std::string& name) {
    return WaitUntil(server, name,
                     [](const v1::CalibrationRun& run) { return run.has_end_time(); });
  }
  static v1::CalibrationRun WaitForProbe(ServerProcess& server, const std::string& name) {
    return WaitUntil(server, name, [](const v1::CalibrationRun& run) {
      return run.progress().done_probe_count() > 0;
    });
  }
  static grpc::Status Cancel(ServerProcess& server, const std::string& name) {
    v1::CancelCalibrationRunRequest request;
    request.set_name(name);
    v1::CancelCalibrationRunResponse response;
    return Call(server, &Stub::CancelCalibrationRun, request, &response);
  }
  static v1::ListCalibrationsResponse List(ServerProcess& server, bool deleted = false) {
    v1::ListCalibrationsRequest request;
    request.set_show_deleted(deleted);
    v1::ListCalibrationsResponse response;
    EXPECT_TRUE(Call(server, &Stub::ListCalibrations, request, &response).ok());
    return response;
  }
  static std::string CalibrationOfAnAnswer(ServerProcess& server) {
    v1::RecommendRequest request;
    request.mutable_question()->set_model_name("SmolLM2-135M");
    request.mutable_question()->set_device_name("cpu");
    request.mutable_question()->mutable_workload()->set_context(64);
    request.mutable_question()->mutable_workload()->set_rows_per_step(1);
    v1::RecommendResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(server.recommender().Recommend(&context, request, &response).ok());
    EXPECT_EQ(response.calibration_id(), response.plan().calibration_id());
    return response.calibration_id();
  }
  static std::string CreateJob(ServerProcess& server, const v1::CreateJobRequest& request) {
    v1::CreateJobResponse response;
    grpc::ClientContext context;
    const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.job().name();
  }
  std::vector<std::string> Starts() const {
    std::ifstream file(DataDirectory() + "/calibration-runs/starts");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  bool Overlapped() const {
    return std::filesystem::exists(DataDirectory() + "/calibration-runs/overlap");
  }
  int CountFiles() const {
    int count = 0;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(DataDirectory() + "/calibrations", error))
      count += entry.path().extension() == ".json";
    return count;
  }

  ScratchDirectory scratch_;
};

std::string ReasonOf(const grpc::Status& status) {
  v1::RichStatus rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  for (const auto& detail : rich.details()) {
    v1::ErrorInfo info;
    if (detail.type_url().find("ErrorInfo") != std::string::npos &&
        info.ParseFromString(detail.value()))
      return info.reason();
  }
  return "";
}

// As a profiler of this host writes it.
v1::Calibration Elsewhere(const std::string& id) {
  v1::Calibration calibration;
  calibration.set_id(id);
  calibration.set_device_name("cpu");
  calibration.set_fingerprint(HostFingerprint());
  calibration.set_measured_at("2026-03-01T10:15:00Z");
  calibration.set_step_factor(1);
  calibration.set_relative_error(0.1);
  for (const int64_t bytes : {1000, 2000}) {
    v1::OpRate& rate = *calibration.add_rates();
    rate.set_op_kind("rms_norm");
    rate.set_bytes(bytes);
    rate.set_bytes_per_second(1e9);
  }
  return calibration;
}

grpc::Status Import(ServerProcess& server, const v1::Calibration& calibration) {
  v1::ImportCalibrationRequest request;
  *request.mutable_calibration() = calibration;
  v1::ImportCalibrationResponse response;
  return Call(server, &Stub::ImportCalibration, request, &response);
}

grpc::Status Delete(ServerProcess& server, const std::string& name) {
  v1::DeleteCalibrationRequest request;
  request.set_name(name);
  v1::DeleteCalibrationResponse response;
  return Call(server, &Stub::DeleteCalibration, request, &response);
}

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

TEST_F(CalibrationTest, ACancelledRunLeavesNothingAndItsProfilerEnds) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "400"}});
  const std::string name = Start(*server);
  WaitForProbe(*server, name);
  ASSERT_TRUE(Cancel(*server, name).ok());
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_CANCELLED);
  EXPECT_THAT(run.reason(), HasSubstr("kept for the next run"));
  EXPECT_EQ(kill(static_cast<pid_t>(run.progress().process_id()), 0), -1);
  EXPECT_EQ(CountFiles(), 0);
  const grpc::Status again = Cancel(*server, name);
  EXPECT_EQ(ReasonOf(again), "CALIBRATION_RUN_HAS_ENDED");
}

TEST_F(CalibrationTest, AKilledProfilerFailsTheRunAndLeavesNothing) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "400"}});
  const std::string name = Start(*server);
  kill(static_cast<pid_t>(WaitForProbe(*server, name).progress().process_id()), SIGKILL);
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_FAILED);
  EXPECT_THAT(run.reason(), HasSubstr("was killed"));
  EXPECT_EQ(CountFiles(), 0);
  EXPECT_EQ(List(*server).calibrations_size(), 0);
}

TEST_F(CalibrationTest, AProfilerThatSaysWhyItEndsIsQuoted) {
  const auto server = Serve({{"FAKE_ERROR", "the machine is too busy"}});
  const v1::CalibrationRun run = WaitForEnd(*server, Start(*server));
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_FAILED);
  EXPECT_EQ(run.reason(), "the machine is too busy");
}

TEST_F(CalibrationTest, AProfilerThatCannotBeStartedIsNamed) {
  {
    const auto server = Serve({}, "/absent/tunesmith-profiler");
    const v1::CalibrationRun run = WaitForEnd(*server, Start(*server));
    EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_FAILED);
    EXPECT_THAT(run.reason(), HasSubstr("/absent/tunesmith-profiler"));
  }
  const auto server = Serve({{"FAKE_DIES_AT_ONCE", "1"}});
  const v1::CalibrationRun run = WaitForEnd(*server, Start(*server));
  EXPECT_THAT(run.reason(), HasSubstr("ended before it measured"));
}

TEST_F(CalibrationTest, ARunGoesOnWhileTheServerIsAway) {
  auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "200"}});
  const std::string name = Start(*server);
  WaitForProbe(*server, name);
  server->Kill();
  server = Serve();
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED) << run.reason();
  EXPECT_EQ(Starts().size(), 1u);
  EXPECT_EQ(List(*server).calibrations(0).source(), name);
}

TEST_F(CalibrationTest, ARunThatEndsWhileTheServerIsAwayIsFoundEnded) {
  auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "50"}});
  const std::string name = Start(*server);
  WaitForProbe(*server, name);
  server->Kill();
  for (int i = 0; i < 500 && CountFiles() == 0; ++i) absl::SleepFor(absl::Milliseconds(20));
  server = Serve();
  EXPECT_EQ(WaitForEnd(*server, name).state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED);
}

TEST_F(CalibrationTest, AServerKilledAroundTheStartMeasuresOnce) {
  for (const char* point : {"before_calibration", "after_calibration_start"}) {
    std::filesystem::remove_all(DataDirectory());
    auto server = Serve({{"TUNESMITH_FAIL_POINT", point}, {"FAKE_PROBE_MILLISECONDS", "100"}});
    const std::string name = Start(*server);
    for (int i = 0; i < 500 && !server->HasEnded(); ++i) absl::SleepFor(absl::Milliseconds(20));
    ASSERT_TRUE(server->HasEnded()) << point;
    server = Serve({{"FAKE_PROBE_MILLISECONDS", "100"}});
    const v1::CalibrationRun run = WaitForEnd(*server, name);
    EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED) << point << ": " << run.reason();
    EXPECT_EQ(Starts().size(), 1u) << point;
    EXPECT_EQ(CountFiles(), 1) << point;
    EXPECT_FALSE(Overlapped()) << point;
  }
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

TEST_F(CalibrationTest, AnImportedCalibrationIsUsedUntilItIsDeleted) {
  auto server = Serve();
  ASSERT_TRUE(Import(*server, Elsewhere("cpu-old")).ok());
  v1::Calibration newer = Elsewhere("cpu-new");
  newer.set_measured_at("2026-04-01T10:15:00Z");
  ASSERT_TRUE(Import(*server, newer).ok());
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "cpu-new");
  v1::ListCalibrationsResponse list = List(*server);
  ASSERT_EQ(list.calibrations_size(), 2);
  EXPECT_EQ(list.calibrations(1).use(), v1::CALIBRATION_USE_OLDER);
  EXPECT_EQ(list.calibrations(1).source(), "imported");
  EXPECT_TRUE(Import(*server, newer).ok()) << "the same once more";
  newer.set_step_factor(2);
  const grpc::Status taken = Import(*server, newer);
  EXPECT_EQ(ReasonOf(taken), "CALIBRATION_ID_TAKEN");

  ASSERT_TRUE(Delete(*server, "calibrations/cpu-new").ok());
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "cpu-old");
  EXPECT_EQ(List(*server).calibrations_size(), 1);
  EXPECT_EQ(List(*server, true).calibrations_size(), 2);
  EXPECT_TRUE(Delete(*server, "calibrations/cpu-new").ok()) << "twice";
  EXPECT_EQ(Delete(*server, "calibrations/absent").error_code(), grpc::StatusCode::NOT_FOUND);

  server.reset();
  server = Serve();
  v1::GetCalibrationRequest request;
  request.set_name("calibrations/cpu-new");
  v1::GetCalibrationResponse kept;
  ASSERT_TRUE(Call(*server, &Stub::GetCalibration, request, &kept).ok()) << "plans may name it";
  EXPECT_EQ(kept.calibration().use(), v1::CALIBRATION_USE_DELETED);
  EXPECT_EQ(kept.calibration().calibration().rates_size(), 2);
}

TEST_F(CalibrationTest, ARepeatedImportGetsTheStoredAnswerAndAnotherBodyIsRefused) {
  const auto server = Serve();
  v1::ImportCalibrationRequest request;
  *request.mutable_calibration() = Elsewhere("cpu-once");
  request.set_request_id("import-1");
  v1::ImportCalibrationResponse first;
  ASSERT_TRUE(Call(*server, &Stub::ImportCalibration, request, &first).ok());
  ASSERT_TRUE(Delete(*server, "calibrations/cpu-once").ok());
  v1::ImportCalibrationResponse again;
  ASSERT_TRUE(Call(*server, &Stub::ImportCalibration, request, &again).ok());
  EXPECT_EQ(again.SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(List(*server).calibrations_size(), 0) << "a repetition does nothing";
  *request.mutable_calibration() = Elsewhere("cpu-other");
  const grpc::Status reused = Call(*server, &Stub::ImportCalibration, request, &again);
  EXPECT_EQ(reused.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonOf(reused), "REQUEST_ID_REUSED");
  EXPECT_EQ(List(*server).calibrations_size(), 0);
}

TEST_F(CalibrationTest, TablesThatCannotBeRightAreRefusedAndEveryEntryNamed) {
  const auto server = Serve();
  v1::Calibration bad = Elsewhere("cpu-bad");
  bad.mutable_rates(0)->set_bytes_per_second(std::numeric_limits<double>::quiet_NaN());
  bad.mutable_rates(1)->set_bytes_per_second(-1e9);
  grpc::Status status = Import(*server, bad);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("rates[0].bytes_per_second (rms_norm) is nan"),
                    HasSubstr("rates[1].bytes_per_second (rms_norm) is -1e")));
  bad = Elsewhere("cpu-bad");
  bad.mutable_rates()->SwapElements(0, 1);
  EXPECT_THAT(Import(*server, bad).error_message(), HasSubstr("rates[1] is not sorted"));
  bad = Elsewhere("cpu-bad");
  bad.mutable_rates(1)->set_op_kind("fourier_transform");
  EXPECT_THAT(Import(*server, bad).error_message(), HasSubstr("rates[1].op_kind"));
  bad = Elsewhere("../tunesmith");
  EXPECT_THAT(Import(*server, bad).error_message(), HasSubstr("id must be"));
  bad = Elsewhere("cpu-bad");
  bad.set_fingerprint("a pocket calculator");
  EXPECT_EQ(ReasonOf(Import(*server, bad)), "CALIBRATION_OF_ANOTHER_HOST");
  bad.set_device_name("B201");
  EXPECT_EQ(ReasonOf(Import(*server, bad)), "GPU_NOT_FOUND");
  EXPECT_EQ(CountFiles(), 0);
  EXPECT_EQ(List(*server, true).calibrations_size(), 0);
}

TEST_F(CalibrationTest, AFileThatIsRemovedByHandLeavesItsHistory) {
  const auto server = Serve();
  ASSERT_TRUE(Import(*server, Elsewhere("cpu-1")).ok());
  std::filesystem::remove(DataDirectory() + "/calibrations/cpu-1.json");
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "");
  const v1::ListCalibrationsResponse list = List(*server, true);
  ASSERT_EQ(list.calibrations_size(), 1);
  EXPECT_EQ(list.calibrations(0).use(), v1::CALIBRATION_USE_DELETED);
}

TEST_F(CalibrationTest, ListsComeInPages) {
  const auto server = Serve();
  for (int i = 0; i < 3; ++i) {
    WaitForEnd(*server, Start(*server));
    ASSERT_TRUE(Import(*server, Elsewhere("cpu-" + std::to_string(i))).ok());
  }
  v1::ListCalibrationRunsRequest runs;
  runs.set_page_size(2);
  v1::ListCalibrationRunsResponse page;
  ASSERT_TRUE(Call(*server, &Stub::ListCalibrationRuns, runs, &page).ok());
  EXPECT_EQ(page.runs(0).name(), "calibrationRuns/3");
  runs.set_page_token(page.next_page_token());
  ASSERT_TRUE(Call(*server, &Stub::ListCalibrationRuns, runs, &page).ok());
  ASSERT_EQ(page.runs_size(), 1);
  EXPECT_EQ(page.runs(0).name(), "calibrationRuns/1");
  EXPECT_EQ(page.next_page_token(), "");
  v1::ListCalibrationsRequest calibrations;
  calibrations.set_page_size(5);
  v1::ListCalibrationsResponse first;
  ASSERT_TRUE(Call(*server, &Stub::ListCalibrations, calibrations, &first).ok());
  EXPECT_EQ(first.calibrations_size(), 5);
  calibrations.set_page_token(first.next_page_token());
  calibrations.set_device_name("A100-80GB");
  EXPECT_EQ(Call(*server, &Stub::ListCalibrations, calibrations, &first).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT)
      << "another query";
}

// All of it with the profiler that measures.
TEST_F(CalibrationTest, ARunThatIsCancelledIsGoneOnWith) {
  const auto server = Serve({}, BinaryPath(kReal));
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
