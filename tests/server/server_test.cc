#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <set>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "proto/convert/violations.h"
#include "server/process.h"
#include "tests/common/eventually.h"
#include "tests/server/server_process.h"
#include "tunesmith/v1/run_directory.pb.h"
#include "tunesmith/v1/status.pb.h"

// The server as users have it: a process, killed and started again.
namespace tunesmith::server {
namespace {

using Environment = std::map<std::string, std::string>;
using ::testing::HasSubstr;

class ServerTest : public ::testing::Test {
 protected:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  std::string Create(ServerProcess& server, int64_t step_count, int64_t checkpoint_every = 0) {
    v1::CreateJobRequest request = TestJob(scratch_, step_count);
    request.mutable_spec()->set_checkpoint_every_step_count(checkpoint_every);
    v1::CreateJobResponse response;
    grpc::ClientContext context;
    const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.job().name();
  }

  grpc::Status Cancel(ServerProcess& server, const std::string& name) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::CancelJobResponse response;
    return server.jobs().CancelJob(&context, request, &response);
  }

  grpc::Status Resume(ServerProcess& server, const std::string& name) {
    grpc::ClientContext context;
    v1::ResumeJobRequest request;
    request.set_name(name);
    v1::ResumeJobResponse response;
    return server.jobs().ResumeJob(&context, request, &response);
  }

  static v1::ShimHandle HandleOf(const v1::Job& job) {
    v1::ShimHandle handle;
    EXPECT_TRUE(convert::ReadJsonFile(convert::InDirectory(job.run_directory(), convert::kShimFile),
                                      &handle)
                    .ok());
    return handle;
  }

  ScratchDirectory scratch_;
};

void ExpectContiguous(const std::vector<v1::Event>& events, int64_t first) {
  for (size_t i = 0; i < events.size(); ++i)
    ASSERT_EQ(events[i].sequence(), first + static_cast<int64_t>(i));
}

std::vector<int64_t> Steps(const std::vector<v1::Event>& events) {
  std::vector<int64_t> steps;
  for (const v1::Event& event : events) {
    if (event.has_progress()) steps.push_back(event.progress().step());
  }
  return steps;
}

std::vector<int64_t> UpTo(int64_t last) {
  std::vector<int64_t> steps(static_cast<size_t>(last));
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<int64_t>(i) + 1;
  return steps;
}

TEST_F(ServerTest, RunsAJobToItsEndAndShutsDown) {
  ServerProcess server(DataDirectory());
  const std::string name = Create(server, 5);
  const std::vector<v1::Event> events = server.Watch(name);
  const v1::Job job = server.WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.summary().step(), 5);
  EXPECT_EQ(job.spec().device(), "cpu");
  EXPECT_EQ(job.spec().training().beta2(), 0.999) << "defaults are filled in";
  ExpectContiguous(events, 1);
  EXPECT_EQ(Steps(events), UpTo(5));
  EXPECT_EQ(events.back().state_changed().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(static_cast<int64_t>(events.size()), job.last_sequence());
  EXPECT_EQ(server.Terminate(), 0);
}

TEST_F(ServerTest, AJobOutlivesAKilledServerAndItsEventsHaveNoHole) {
  auto server = std::make_unique<ServerProcess>(DataDirectory(),
                                                Environment{{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string name = Create(*server, 100);
  ASSERT_TRUE(AwaitStep(server->WaitFor(name, v1::JOB_STATE_RUNNING).run_directory()));
  server->Kill();
  absl::SleepFor(absl::Milliseconds(300));  // the trainer goes on meanwhile
  server = std::make_unique<ServerProcess>(DataDirectory());
  const v1::Job job = server->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 1);
  const std::vector<v1::Event> events = server->Watch(name);
  ExpectContiguous(events, 1);
  EXPECT_EQ(Steps(events), UpTo(100));
}

TEST_F(ServerTest, AJobThatEndsWhileTheServerIsAwayIsFoundEnded) {
  auto server = std::make_unique<ServerProcess>(DataDirectory());
  const std::string name = Create(*server, 40);
  server->WaitFor(name, v1::JOB_STATE_RUNNING);
  server->Kill();
  absl::SleepFor(absl::Seconds(1));
  server = std::make_unique<ServerProcess>(DataDirectory());
  EXPECT_EQ(server->WaitFor(name).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Steps(server->Watch(name)), UpTo(40));
}

TEST_F(ServerTest, AServerKilledRightAfterCreateJobStartsTheJobOnce) {
  for (int round = 0; round < 3; ++round) {
    const std::string data = DataDirectory() + std::to_string(round);
    auto server = std::make_unique<ServerProcess>(data);
    const std::string name = Create(*server, 3);
    absl::SleepFor(absl::Milliseconds(2 * round));
    server->Kill();
    server = std::make_unique<ServerProcess>(data);
    const v1::Job job = server->WaitFor(name);
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
    EXPECT_EQ(job.attempt(), 1);
    EXPECT_EQ(Steps(server->Watch(name)), UpTo(3));
  }
}

TEST_F(ServerTest, AKilledTrainerFailsTheJobWithTheSignalAndResumesFromItsCheckpoint) {
  ServerProcess server(DataDirectory(), {{"FAKE_CRASH_AT_STEP", "7"}});
  const std::string name = Create(server, 12, 5);
  const v1::Job failed = server.WaitFor(name);
  EXPECT_EQ(failed.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(failed.reason(), HasSubstr("signal 9 (SIGKILL)"));
  ASSERT_TRUE(Resume(server, name).ok());
  const v1::Job job = server.WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 2);
  const std::vector<v1::Event> events = server.Watch(name);
  ExpectContiguous(events, 1);
  EXPECT_EQ(Steps(events), (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11, 12}));
  EXPECT_TRUE(std::filesystem::exists(job.run_directory() + "/attempt-2"));
}

TEST_F(ServerTest, ALostShimFailsTheJobAndItsTrainerIsStopped) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "50"}});
  const std::string name = Create(server, 1000);
  const v1::Job running = server.WaitFor(name, v1::JOB_STATE_RUNNING);
  ASSERT_TRUE(AwaitStep(running.run_directory()));
  const v1::ShimHandle handle = HandleOf(running);
  SignalProcess(handle.pid(), handle.start_ticks(), SIGKILL);
  const v1::Job job = server.WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(job.reason(), HasSubstr("lost"));
  EXPECT_TRUE(
      Eventually([&] { return !IsAlive(handle.trainer_pid(), handle.trainer_start_ticks()); }));
}

TEST_F(ServerTest, CancelSavesARunningJobAndDropsAQueuedOne) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string first = Create(server, 1000);
  const std::string second = Create(server, 5);
  const v1::Job running = server.WaitFor(first, v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(Cancel(server, second).ok());
  EXPECT_EQ(server.WaitFor(second).state(), v1::JOB_STATE_CANCELLED);
  ASSERT_TRUE(AwaitStep(running.run_directory()));
  EXPECT_TRUE(Cancel(server, first).ok());
  const v1::Job job = server.WaitFor(first);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_EQ(job.attempt(), 1);
  const std::vector<v1::Event> events = server.Watch(first);
  EXPECT_TRUE(events[events.size() - 2].has_checkpoint_saved());
  EXPECT_EQ(Cancel(server, first).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Resume(server, second).error_code(), grpc::StatusCode::OK);
  EXPECT_EQ(server.WaitFor(second).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(ServerTest, AStubbornTrainerIsKilledAfterTheGrace) {
  ServerProcess server(DataDirectory(),
                       {{"FAKE_STEP_MILLISECONDS", "20"}, {"FAKE_IGNORE_SIGTERM", "1"}},
                       {"--grace-seconds", "0.3"});
  const std::string name = Create(server, 10000);
  ASSERT_TRUE(AwaitStep(server.WaitFor(name, v1::JOB_STATE_RUNNING).run_directory()));
  ASSERT_TRUE(Cancel(server, name).ok());
  const v1::Job job = server.WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(job.reason(), HasSubstr("SIGKILL"));
}

TEST_F(ServerTest, WatchGoesOnAfterASequence) {
  ServerProcess server(DataDirectory());
  const std::string name = Create(server, 6);
  const std::vector<v1::Event> all = server.Watch(name);
  const std::vector<v1::Event> rest = server.Watch(name, 4);
  ASSERT_EQ(rest.size(), all.size() - 4);
  ExpectContiguous(rest, 5);
  EXPECT_TRUE(server.Watch(name, all.back().sequence()).empty());

  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_after_sequence(all.back().sequence() + 1);
  const auto reader = server.jobs().WatchJob(&context, request);
  v1::WatchJobResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(ServerTest, WatchFirstSendsASnapshotAndEndsUnavailableAtShutdown) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "50"}});
  const std::string name = Create(server, 200);
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(name);
  const auto reader = server.jobs().WatchJob(&context, request);
  v1::WatchJobResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.has_snapshot());
  EXPECT_EQ(response.snapshot().name(), name);
  server.WaitFor(name, v1::JOB_STATE_RUNNING);
  EXPECT_EQ(server.Terminate(), 0);
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  ServerProcess again(DataDirectory());
  Cancel(again, name);
  EXPECT_EQ(again.WaitFor(name).state(), v1::JOB_STATE_CANCELLED)
      << "cancel reaches a shim of an earlier server";
}

TEST_F(ServerTest, ASecondServerOnTheDataDirectoryOrThePortIsRefused) {
  ServerProcess server(DataDirectory());
  const ProcessResult same_data = RunProcess(
      {BinaryPath("tunesmithd"), "--listen", "127.0.0.1:0", "--data-dir", DataDirectory()});
  EXPECT_EQ(same_data.status, 1);
  EXPECT_THAT(same_data.errors, HasSubstr("another tunesmithd"));
  const ProcessResult same_port =
      RunProcess({BinaryPath("tunesmithd"), "--listen", server.address(), "--data-dir",
                  DataDirectory() + "2"});
  EXPECT_EQ(same_port.status, 1);
  EXPECT_THAT(same_port.errors, HasSubstr("cannot listen on"));
}

TEST_F(ServerTest, ListsJobsInPages) {
  ServerProcess server(DataDirectory());
  for (int i = 0; i < 5; ++i) Create(server, 1);
  std::vector<std::string> names;
  v1::ListJobsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    ASSERT_TRUE(server.jobs().ListJobs(&context, request, &response).ok());
    EXPECT_LE(response.jobs_size(), 2);
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(names, ::testing::ElementsAre("jobs/job-5", "jobs/job-4", "jobs/job-3", "jobs/job-2",
                                            "jobs/job-1"));
  for (const auto& [size, token] :
       std::vector<std::pair<int64_t, std::string>>{{-1, ""}, {2, "nonsense"}, {2, "3.4"}}) {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    request.set_page_size(size);
    request.set_page_token(token);
    EXPECT_EQ(server.jobs().ListJobs(&context, request, &response).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(ServerTest, CreateJobNamesEveryFieldThatIsWrong) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest request = TestJob(scratch_, 1);
  request.mutable_spec()->set_model_path("relative/model");
  request.mutable_spec()->set_dataset_path("/absent.jsonl");
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::RichStatus rich;
  ASSERT_TRUE(rich.ParseFromString(status.error_details()));
  std::set<std::string> fields;
  std::set<std::string> urls;
  for (const auto& detail : rich.details()) {
    urls.insert(detail.type_url());
    v1::BadRequest bad_request;
    if (detail.type_url() != convert::kBadRequestUrl) continue;
    ASSERT_TRUE(bad_request.ParseFromString(detail.value()));
    for (const auto& violation : bad_request.field_violations()) fields.insert(violation.field());
  }
  EXPECT_THAT(fields, ::testing::UnorderedElementsAre("spec.model_path", "spec.dataset_path"));
  EXPECT_TRUE(urls.contains(convert::kErrorInfoUrl));
}

TEST_F(ServerTest, CreateJobRefusesToOverwriteTheModel) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest request = TestJob(scratch_, 1);
  request.mutable_spec()->set_output_dir(request.spec().model_path() + "/.");
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("spec.output_dir"));
}

TEST_F(ServerTest, CreateJobRefusesWhatTheTrainerCannotRun) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest request = TestJob(scratch_, 1);
  v1::DeviceGroup& devices = *request.mutable_plan()->mutable_inputs()->mutable_devices();
  devices.set_device_count(2);
  devices.mutable_hardware()->set_compute_capability(90);
  request.mutable_spec()->set_device("cuda:0");
  request.mutable_plan()->mutable_mix()->set_data_parallel(2);
  request.mutable_plan()->mutable_mix()->set_accumulation_count(1);
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
}

TEST_F(ServerTest, HealthKnowsItsServices) {
  ServerProcess server(DataDirectory());
  const auto stub = grpc::health::v1::Health::NewStub(Connect(server.address()));
  for (const char* service : {"", "tunesmith.v1.RecommenderService", "tunesmith.v1.JobService",
                              "tunesmith.v1.ClusterService", "tunesmith.v1.MeasurementService",
                              "tunesmith.v1.CalibrationService"}) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    ASSERT_TRUE(stub->Check(&context, request, &response).ok()) << service;
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
}

TEST_F(ServerTest, UnknownNamesAreNotFound) {
  ServerProcess server(DataDirectory());
  EXPECT_EQ(Cancel(server, "jobs/job-99").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Cancel(server, "nonsense").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext context;
  v1::RecommendRequest request;
  request.mutable_question()->set_model_name("smollm-135");
  request.mutable_question()->set_device_name("cpu");
  request.mutable_question()->mutable_workload()->set_context(128);
  request.mutable_question()->mutable_workload()->set_rows_per_step(4);
  v1::RecommendResponse response;
  EXPECT_EQ(server.recommender().Recommend(&context, request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace tunesmith::server
