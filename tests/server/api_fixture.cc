#include "tests/server/api_fixture.h"

namespace tunesmith::server {

v1::CreateJobRequest ApiTest::JobRequest(int64_t step_count) const {
  v1::CreateJobRequest request = TestJob(scratch_, step_count);
  request.mutable_spec()->set_thread_count(1);
  return request;
}

v1::RecommendRequest ApiTest::Question(const std::string& model, const std::string& device) {
  v1::RecommendRequest request;
  request.mutable_question()->set_model_name(model);
  request.mutable_question()->set_device_name(device);
  request.mutable_question()->mutable_workload()->set_context(512);
  request.mutable_question()->mutable_workload()->set_rows_per_step(8);
  return request;
}

v1::Job ApiTest::Create(ServerProcess& server, const v1::CreateJobRequest& request) {
  v1::CreateJobResponse response;
  const grpc::Status status =
      Call(server.jobs(), &v1::JobService::Stub::CreateJob, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job();
}

grpc::Status ApiTest::TryCreate(ServerProcess& server, const v1::CreateJobRequest& request) {
  v1::CreateJobResponse response;
  return Call(server.jobs(), &v1::JobService::Stub::CreateJob, request, &response);
}

std::vector<std::string> ApiTest::List(ServerProcess& server, const std::string& filter) {
  v1::ListJobsRequest request;
  request.set_filter(filter);
  v1::ListJobsResponse response;
  const grpc::Status status =
      Call(server.jobs(), &v1::JobService::Stub::ListJobs, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::vector<std::string> names;
  for (const v1::Job& job : response.jobs()) names.push_back(job.name());
  return names;
}

}  // namespace tunesmith::server
