#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "tests/server/api_fixture.h"

// Jobs that are asked for over the wire: what is accepted, refused, repeated and listed.
namespace tunesmith::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

TEST_F(ApiTest, ARepeatedCreateGetsTheStoredAnswerAndAnotherBodyIsRefused) {
  v1::CreateJobRequest request = JobRequest(2);
  request.set_request_id("0b0c5a4e-0000-4000-8000-000000000001");
  std::string first;
  {
    ServerProcess server(DataDirectory());
    first = Create(server, request).SerializeAsString();
    server.WaitFor("jobs/job-1");
    EXPECT_EQ(Create(server, request).SerializeAsString(), first) << "though the job went on";
  }
  std::filesystem::remove(request.spec().dataset_path());
  ServerProcess server(DataDirectory());
  EXPECT_EQ(Create(server, request).SerializeAsString(), first) << "nothing is checked again";
  request.mutable_spec()->mutable_training()->set_seed(9);
  const grpc::Status refused = TryCreate(server, request);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonOf(refused), "REQUEST_ID_REUSED");
  EXPECT_THAT(List(server, ""), ElementsAre("jobs/job-1"));
}

TEST_F(ApiTest, ARepeatedResumeResumesOnce) {
  ServerProcess server(DataDirectory(), {{"FAKE_EXIT_CODE", "7"}});
  Create(server, JobRequest(2));
  EXPECT_EQ(server.WaitFor("jobs/job-1").cause(), v1::END_CAUSE_TRAINER_FAILED);
  v1::ResumeJobRequest request;
  request.set_name("jobs/job-1");
  request.set_request_id("again");
  for (int i = 0; i < 3; ++i) {
    v1::ResumeJobResponse response;
    EXPECT_TRUE(Call(server.jobs(), &v1::JobService::Stub::ResumeJob, request, &response).ok());
    EXPECT_EQ(response.job().state(), v1::JOB_STATE_QUEUED);
    EXPECT_EQ(server.WaitFor("jobs/job-1", v1::JOB_STATE_FAILED).state(), v1::JOB_STATE_FAILED);
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_EQ(server.WaitFor("jobs/job-1").attempt(), 2);
}

TEST_F(ApiTest, ValidateOnlyShowsWhatWouldBeSubmittedAndStoresNothing) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest request = JobRequest(2);
  request.set_validate_only(true);
  request.set_request_id("same");
  v1::CreateJobResponse response;
  ASSERT_TRUE(Call(server.jobs(), &v1::JobService::Stub::CreateJob, request, &response).ok());
  EXPECT_EQ(response.job().name(), "");
  EXPECT_EQ(response.job().claim().cpu_thread_count(), 1);
  EXPECT_EQ(response.submission().launcher(), "host");
  EXPECT_THAT(response.submission().arguments(0), HasSubstr("tunesmith-shim"));
  ASSERT_EQ(response.submission().files_size(), 2);
  EXPECT_THAT(response.submission().files(0).path(), HasSubstr("<job>/plan.json"));
  EXPECT_THAT(response.submission().files(1).text(), HasSubstr("step_count"));
  EXPECT_THAT(List(server, ""), ElementsAre());
  request.mutable_spec()->set_dataset_path("/absent");
  EXPECT_EQ(TryCreate(server, request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request = JobRequest(2);
  request.set_request_id("same");
  EXPECT_EQ(Create(server, request).name(), "jobs/job-1") << "the id was not used up";
}

TEST_F(ApiTest, EveryFieldOfPlanAndSpecIsNamedAtOnce) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest request = JobRequest(1);
  request.mutable_plan()->mutable_inputs()->mutable_model()->set_layer_count(0);
  request.mutable_plan()->mutable_inputs()->mutable_workload()->set_context(-4);
  request.mutable_spec()->set_dataset_path("relative.jsonl");
  request.set_request_id(std::string(40, 'x'));
  request.set_cluster("clusters/moon");
  const grpc::Status status = TryCreate(server, request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const Details details = DetailsOf(status);
  EXPECT_EQ(details.error_info_count, 1);
  EXPECT_THAT(details.fields, IsSupersetOf({"plan.inputs.model", "plan.inputs.workload.context",
                                            "spec.dataset_path", "request_id", "cluster"}));

  v1::RecommendRequest question = Question();
  question.set_ranked_count(5000);
  question.mutable_question()->mutable_workload()->set_rows_per_step(-1);
  v1::RecommendResponse answer;
  const grpc::Status refused =
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, question, &answer);
  EXPECT_THAT(DetailsOf(refused).fields,
              IsSupersetOf({"ranked_count", "question.workload.rows_per_step"}));
}

TEST_F(ApiTest, FamiliesThatTheTrainerDoesNotRunAreRefused) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest request = JobRequest(1);
  v1::ModelSpec& model = *request.mutable_plan()->mutable_inputs()->mutable_model();
  model.set_family("mixtral");
  model.set_expert_count(8);
  model.set_active_expert_count(2);
  const grpc::Status status = TryCreate(server, request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
  EXPECT_EQ(ReasonOf(status), "FAMILY_NOT_TRAINED");
}

TEST_F(ApiTest, GpusThatTheHostDoesNotHaveAreRefused) {
  ServerProcess server(DataDirectory(), {}, {"--gpu-count", "0"});
  v1::RecommendResponse answer;
  ASSERT_TRUE(
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, Question(), &answer)
          .ok());
  v1::CreateJobRequest request = JobRequest(1);
  *request.mutable_plan() = answer.plan();
  const grpc::Status status = TryCreate(server, request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
  EXPECT_EQ(ReasonOf(status), "NOT_ENOUGH_DEVICES");
}

TEST_F(ApiTest, FiltersAndTheirPageTokens) {
  ServerProcess server(DataDirectory(), {}, {"--cpu-threads", "1"});
  for (int i = 0; i < 4; ++i) Create(server, JobRequest(i == 3 ? 100000 : 1));
  for (int i = 1; i <= 3; ++i) server.WaitFor("jobs/job-" + std::to_string(i));
  EXPECT_THAT(List(server, "state = SUCCEEDED"),
              ElementsAre("jobs/job-3", "jobs/job-2", "jobs/job-1"));
  EXPECT_THAT(List(server, "state != SUCCEEDED AND launcher = host"), ElementsAre("jobs/job-4"));
  EXPECT_THAT(List(server, "create_time < \"2001-01-01T00:00:00Z\""), ElementsAre());
  EXPECT_THAT(List(server, "end_time > \"2001-01-01T00:00:00Z\""),
              ElementsAre("jobs/job-3", "jobs/job-2", "jobs/job-1"));
  v1::ListJobsRequest request;
  request.set_filter("state = SUCCEEDED");
  request.set_page_size(2);
  v1::ListJobsResponse response;
  ASSERT_TRUE(Call(server.jobs(), &v1::JobService::Stub::ListJobs, request, &response).ok());
  ASSERT_FALSE(response.next_page_token().empty());
  request.set_page_token(response.next_page_token());
  request.set_filter("state != QUEUED");
  const grpc::Status other =
      Call(server.jobs(), &v1::JobService::Stub::ListJobs, request, &response);
  EXPECT_EQ(DetailsOf(other).fields, std::set<std::string>{"page_token"});
  request.set_filter("state = NONSENSE");
  request.set_page_size(-1);
  const grpc::Status wrong =
      Call(server.jobs(), &v1::JobService::Stub::ListJobs, request, &response);
  EXPECT_EQ(DetailsOf(wrong).fields, (std::set<std::string>{"filter", "page_size", "page_token"}));
  v1::CancelJobRequest cancel;
  cancel.set_name("jobs/job-4");
  v1::CancelJobResponse cancelled;
  Call(server.jobs(), &v1::JobService::Stub::CancelJob, cancel, &cancelled);
}

}  // namespace
}  // namespace tunesmith::server
