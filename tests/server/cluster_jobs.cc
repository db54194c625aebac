#include "tests/server/cluster_jobs.h"

#include <fstream>
#include <memory>

namespace tunesmith::server {

void ClusterJobsTest::StartServer(const std::vector<std::string>& flags,
                                  const std::map<std::string, std::string>& environment) {
  server_ = std::make_unique<ServerProcess>(scratch_.path() + "/data", environment, flags);
}

v1::CreateJobRequest ClusterJobsTest::Request(int64_t steps) {
  v1::CreateJobRequest request = TestJob(scratch_, steps);
  request.mutable_spec()->set_thread_count(1);
  request.mutable_spec()->set_checkpoint_every_step_count(1);
  return request;
}

grpc::Status ClusterJobsTest::Create(const v1::CreateJobRequest& request,
                                     v1::CreateJobResponse& response) {
  grpc::ClientContext context;
  return server_->jobs().CreateJob(&context, request, &response);
}

std::string ClusterJobsTest::Create(const v1::CreateJobRequest& request) {
  v1::CreateJobResponse response;
  const grpc::Status status = Create(request, response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job().name();
}

v1::Job ClusterJobsTest::Get(const std::string& name) {
  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_name(name);
  v1::GetJobResponse response;
  const grpc::Status status = server_->jobs().GetJob(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job();
}

void ClusterJobsTest::Cancel(const std::string& name) {
  grpc::ClientContext context;
  v1::CancelJobRequest request;
  request.set_name(name);
  v1::CancelJobResponse response;
  const grpc::Status status = server_->jobs().CancelJob(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void ClusterJobsTest::Resume(const std::string& name) {
  grpc::ClientContext context;
  v1::ResumeJobRequest request;
  request.set_name(name);
  v1::ResumeJobResponse response;
  const grpc::Status status = server_->jobs().ResumeJob(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

v1::Job ClusterJobsTest::AwaitStep(const std::string& name, int64_t step) {
  return Await(name, [&](const v1::Job& job) { return job.progress().step() >= step; });
}

v1::Job ClusterJobsTest::AwaitReason(const std::string& name, const std::string& part) {
  return Await(name,
               [&](const v1::Job& job) { return job.reason().find(part) != std::string::npos; });
}

std::vector<std::string> ClusterJobsTest::Starts(const v1::Job& job) {
  std::ifstream file(job.run_directory() + "/starts");
  std::vector<std::string> attempts;
  for (std::string line; std::getline(file, line);) attempts.push_back(line);
  return attempts;
}

bool ClusterJobsTest::RanTwiceAtOnce(const v1::Job& job) {
  return std::ifstream(job.run_directory() + "/double_launch").good();
}

std::vector<std::string> ClusterJobsTest::Told(const std::string& name) {
  std::vector<std::string> told;
  for (const v1::Event& event : server_->Watch(name)) {
    if (!event.has_state_changed()) continue;
    const v1::StateChanged& changed = event.state_changed();
    told.push_back(v1::JobState_Name(changed.state()).substr(10) +
                   (changed.reason().empty() ? "" : ": " + changed.reason()));
  }
  return told;
}

}  // namespace tunesmith::server
