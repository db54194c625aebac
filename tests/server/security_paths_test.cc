#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/server/security_fixture.h"

// Attacks on the server as users have it: jobs and calibrations that name files outside the roots.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using Code = grpc::StatusCode;

TEST_F(SecurityTest, PathsOfJobsStayBelowTheRoots) {
  for (const char* directory : {"data-root", "out-root", "secret"})
    std::filesystem::create_directories(scratch_.path() + "/" + directory);
  scratch_.File("secret/train.jsonl", "{\"text\":\"secret\"}\n");
  v1::CreateJobRequest good = TestJob(scratch_, 2);
  std::filesystem::rename(good.spec().dataset_path(), scratch_.path() + "/data-root/train.jsonl");
  good.mutable_spec()->set_dataset_path(scratch_.path() + "/data-root/train.jsonl");
  ServerProcess server(
      DataDirectory(), {},
      {"--model-root", scratch_.path(), "--data-root", scratch_.path() + "/data-root",
       "--output-root", scratch_.path() + "/out-root"});
  const auto create = [&](const v1::CreateJobRequest& request, v1::CreateJobResponse* response) {
    grpc::ClientContext context;
    return server.jobs().CreateJob(&context, request, response);
  };
  v1::CreateJobResponse response;
  ASSERT_TRUE(create(good, &response).ok());
  EXPECT_EQ(server.WaitFor(response.job().name()).state(), v1::JOB_STATE_SUCCEEDED);
  std::filesystem::create_symlink(scratch_.path() + "/secret/train.jsonl",
                                  scratch_.path() + "/data-root/link.jsonl");
  std::filesystem::create_directory_symlink(scratch_.path() + "/secret",
                                            scratch_.path() + "/out-root/link");
  const auto refused = [&](const auto& change) {
    v1::CreateJobRequest request = good;
    change(*request.mutable_spec());
    const grpc::Status status = create(request, &response);
    EXPECT_EQ(status.error_code(), Code::INVALID_ARGUMENT) << request.spec().ShortDebugString();
    EXPECT_THAT(status.error_message(), HasSubstr("-root"));
  };
  refused([&](v1::JobSpec& spec) {
    spec.set_dataset_path(scratch_.path() + "/data-root/../secret/train.jsonl");
  });
  refused(
      [&](v1::JobSpec& spec) { spec.set_dataset_path(scratch_.path() + "/data-root/link.jsonl"); });
  refused([&](v1::JobSpec& spec) {
    spec.set_evaluation_path(scratch_.path() + "/secret/train.jsonl");
  });
  refused([&](v1::JobSpec& spec) { spec.set_chat_template_path("/etc/passwd"); });
  refused([&](v1::JobSpec& spec) { spec.set_model_path("/"); });
  refused([&](v1::JobSpec& spec) { spec.set_output_dir(scratch_.path() + "/out-root/link/here"); });
  refused([&](v1::JobSpec& spec) {
    spec.set_output_dir(scratch_.path() + "/out-root/new/../../secret");
  });
}

TEST_F(SecurityTest, ACalibrationReadsNoModelOutsideTheRoots) {
  ServerProcess server(DataDirectory(), {}, {"--model-root", scratch_.path()});
  const auto calibrations = v1::CalibrationService::NewStub(Connect(server.address()));
  for (const char* model : {"/etc", "/nothing/here"}) {
    v1::StartCalibrationRequest request;
    request.mutable_spec()->set_model_name(model);
    v1::StartCalibrationResponse response;
    grpc::ClientContext context;
    const grpc::Status status = calibrations->StartCalibration(&context, request, &response);
    EXPECT_EQ(status.error_code(), Code::INVALID_ARGUMENT) << model;
    EXPECT_THAT(status.error_message(), HasSubstr("--model-root"))
        << "whether it exists is not told";
  }
}

TEST_F(SecurityTest, ALinkThatIsPutInPlaceWhileAJobWaitsKeepsItFromStarting) {
  const std::string root = scratch_.path() + "/root";
  std::filesystem::create_directories(root + "/d");
  std::filesystem::create_directories(scratch_.path() + "/secret");
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "50"}},
                       {"--model-root", scratch_.path(), "--data-root", root});
  v1::CreateJobRequest request = TestJob(scratch_, 40);
  scratch_.File("secret/train.jsonl", "{\"text\":\"secret\"}\n");
  std::filesystem::rename(request.spec().dataset_path(), root + "/d/train.jsonl");
  request.mutable_spec()->set_dataset_path(root + "/d/train.jsonl");
  v1::CreateJobResponse first;
  v1::CreateJobResponse second;
  grpc::ClientContext contexts[2];
  ASSERT_TRUE(server.jobs().CreateJob(&contexts[0], request, &first).ok());
  ASSERT_TRUE(server.jobs().CreateJob(&contexts[1], request, &second).ok());
  server.WaitFor(first.job().name(), v1::JOB_STATE_RUNNING);
  std::filesystem::rename(root + "/d", root + "/moved");
  std::filesystem::create_directory_symlink(scratch_.path() + "/secret", root + "/d");
  const v1::Job job = server.WaitFor(second.job().name());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED);
  EXPECT_THAT(job.reason(), HasSubstr("--data-root"));
}

}  // namespace
}  // namespace tunesmith::server
