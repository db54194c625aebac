#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/time/clock.h"
#include "google/protobuf/descriptor.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "proto/convert/violations.h"
#include "server/process.h"
#include "server/sqlite.h"
#include "tests/benchmarks/wire_mutations.h"
#include "tests/server/server_process.h"
#include "tunesmith/v1/run_directory.pb.h"
#include "tunesmith/v1/status.pb.h"

// The API over the wire: what is answered, refused, repeated and told apart.
namespace tunesmith::server {
namespace {

using Environment = std::map<std::string, std::string>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

// A call with a deadline that no good answer needs.
template <typename Stub, typename Request, typename Response>
grpc::Status Call(Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response, int milliseconds = 20000) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(milliseconds));
  return (stub.*method)(&context, request, response);
}

struct Details {
  std::string reason;
  int error_info_count = 0;
  std::set<std::string> fields;
};

Details DetailsOf(const grpc::Status& status) {
  Details details;
  v1::RichStatus rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  EXPECT_EQ(rich.code(), status.error_code());
  for (const auto& detail : rich.details()) {
    v1::ErrorInfo info;
    v1::BadRequest bad;
    if (detail.type_url() == convert::kErrorInfoUrl && info.ParseFromString(detail.value())) {
      details.reason = info.reason();
      ++details.error_info_count;
    }
    if (detail.type_url() == convert::kBadRequestUrl && bad.ParseFromString(detail.value()))
      for (const auto& violation : bad.field_violations()) details.fields.insert(violation.field());
  }
  return details;
}

v1::RecommendRequest Question(const std::string& model = "SmolLM2-135M",
                              const std::string& device = "A100-80GB") {
  v1::RecommendRequest request;
  request.mutable_question()->set_model_name(model);
  request.mutable_question()->set_device_name(device);
  request.mutable_question()->mutable_workload()->set_context(512);
  request.mutable_question()->mutable_workload()->set_rows_per_step(8);
  return request;
}

class ApiTest : public ::testing::Test {
 protected:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  v1::CreateJobRequest JobRequest(int64_t step_count, int64_t threads = 1) {
    v1::CreateJobRequest request = TestJob(scratch_, step_count);
    request.mutable_spec()->set_thread_count(threads);
    return request;
  }
  static v1::Job Create(ServerProcess& server, const v1::CreateJobRequest& request) {
    v1::CreateJobResponse response;
    const grpc::Status status =
        Call(server.jobs(), &v1::JobService::Stub::CreateJob, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.job();
  }
  static grpc::Status TryCreate(ServerProcess& server, const v1::CreateJobRequest& request) {
    v1::CreateJobResponse response;
    return Call(server.jobs(), &v1::JobService::Stub::CreateJob, request, &response);
  }
  static std::vector<std::string> List(ServerProcess& server, const std::string& filter) {
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
  static v1::ShimHandle HandleOf(const v1::Job& job) {
    v1::ShimHandle handle;
    EXPECT_TRUE(convert::ReadJsonFile(convert::InDirectory(job.run_directory(), convert::kShimFile),
                                      &handle)
                    .ok());
    return handle;
  }
  static std::vector<v1::EndCause> Causes(const std::vector<v1::Event>& events) {
    std::vector<v1::EndCause> causes;
    for (const v1::Event& event : events) {
      if (event.state_changed().cause() != v1::END_CAUSE_UNSPECIFIED)
        causes.push_back(event.state_changed().cause());
    }
    return causes;
  }

  ScratchDirectory scratch_;
};

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
  EXPECT_EQ(DetailsOf(refused).reason, "REQUEST_ID_REUSED");
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
  EXPECT_EQ(DetailsOf(status).reason, "FAMILY_NOT_TRAINED");
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
  EXPECT_EQ(DetailsOf(status).reason, "NOT_ENOUGH_DEVICES");
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

TEST_F(ApiTest, ASearchEndsWithItsDeadline) {
  ServerProcess server(DataDirectory());
  v1::RecommendRequest request = Question("Llama-2-70b-hf", "8xB200");
  request.mutable_question()->mutable_workload()->set_context(4096);
  request.mutable_question()->mutable_workload()->set_rows_per_step(64);
  request.set_explain(true);
  request.set_pareto_count(1000);
  v1::RecommendResponse response;
  const absl::Time start = absl::Now();
  const grpc::Status status =
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, request, &response, 22);
  EXPECT_TRUE(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
              (status.ok() && response.deadline_reached()))
      << status.error_message();
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  // Such an answer is nobody else's, and the server is free again.
  ASSERT_TRUE(
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, Question(), &response)
          .ok());
  EXPECT_FALSE(response.deadline_reached());
}

TEST_F(ApiTest, AKnownAnswerIsTheSameAnswer) {
  ServerProcess server(DataDirectory());
  v1::RecommendResponse first;
  v1::RecommendResponse second;
  v1::RecommendRequest request = Question();
  ASSERT_TRUE(
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, request, &first).ok());
  request.set_ranked_count(8);  // the default, said
  ASSERT_TRUE(
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, request, &second).ok());
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  EXPECT_GT(first.ranked_size(), 0);
}

TEST_F(ApiTest, ABatchAnswersEachQuestionForItself) {
  ServerProcess server(DataDirectory());
  v1::BatchRecommendRequest request;
  *request.add_requests() = Question();
  *request.add_requests() = Question("no-such-model");
  *request.add_requests() = Question("SmolLM2-135M", "H100-SXM");
  v1::BatchRecommendResponse response;
  ASSERT_TRUE(
      Call(server.recommender(), &v1::RecommenderService::Stub::BatchRecommend, request, &response)
          .ok());
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_GT(response.results(0).response().ranked_size(), 0);
  EXPECT_EQ(response.results(1).error().code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(response.results(1).error().details_size(), 1);
  request.clear_requests();
  EXPECT_EQ(DetailsOf(Call(server.recommender(), &v1::RecommenderService::Stub::BatchRecommend,
                           request, &response))
                .fields,
            std::set<std::string>{"requests"});
}

TEST_F(ApiTest, LogsAreFollowedToTheJobsEnd) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "10"}});
  const v1::Job job = Create(server, JobRequest(40));
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  grpc::ClientContext context;
  const auto reader = server.jobs().StreamLogs(&context, request);
  v1::StreamLogsResponse chunk;
  std::string text;
  while (reader->Read(&chunk)) text += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  std::ifstream file(job.run_directory() + "/log/trainer.log");
  std::stringstream whole;
  whole << file.rdbuf();
  EXPECT_EQ(text, whole.str());
  EXPECT_THAT(text, HasSubstr("step 40\n"));
  EXPECT_EQ(chunk.next_offset(), static_cast<int64_t>(text.size()));

  request.set_follow(false);
  request.set_tail_bytes(12);
  grpc::ClientContext tail_context;
  const auto tail = server.jobs().StreamLogs(&tail_context, request);
  ASSERT_TRUE(tail->Read(&chunk));
  EXPECT_EQ(chunk.data(), "step 40\n") << "from the beginning of a line";
  EXPECT_FALSE(tail->Read(&chunk));
  EXPECT_TRUE(tail->Finish().ok());

  request.set_tail_bytes(0);
  request.set_offset(1 << 20);
  grpc::ClientContext beyond_context;
  const auto beyond = server.jobs().StreamLogs(&beyond_context, request);
  EXPECT_FALSE(beyond->Read(&chunk));
  EXPECT_EQ(beyond->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(ApiTest, AFollowedLogEndsWithTheServerAndNotWithTheJob) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}});
  const v1::Job job = Create(server, JobRequest(10000));
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  grpc::ClientContext context;
  const auto reader = server.jobs().StreamLogs(&context, request);
  v1::StreamLogsResponse chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(server.Terminate(), 0);
  while (reader->Read(&chunk)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  const v1::ShimHandle handle = HandleOf(job);
  EXPECT_TRUE(IsAlive(handle.pid(), handle.start_ticks()));
  SignalProcess(handle.pid(), handle.start_ticks(), SIGTERM);
}

TEST_F(ApiTest, WhatWasAddedToTheCatalogIsAskedForByName) {
  v1::CreateModelRequest model;
  v1::CreateGpuRequest gpu;
  {
    ServerProcess server(DataDirectory());
    v1::GetModelRequest get_model;
    get_model.set_name("smollm2-135m");
    v1::GetModelResponse known;
    ASSERT_TRUE(
        Call(server.recommender(), &v1::RecommenderService::Stub::GetModel, get_model, &known)
            .ok());
    *model.mutable_model() = known.model();
    model.mutable_model()->set_name("us/our-model");
    model.mutable_model()->set_layer_count(12);
    model.set_request_id("m");
    v1::GetGpuRequest get_gpu;
    get_gpu.set_name("A100-80GB");
    v1::GetGpuResponse known_gpu;
    ASSERT_TRUE(
        Call(server.recommender(), &v1::RecommenderService::Stub::GetGpu, get_gpu, &known_gpu)
            .ok());
    *gpu.mutable_gpu() = known_gpu.gpu();
    gpu.mutable_gpu()->set_name("A100-special");
    gpu.mutable_gpu()->set_memory_bytes(int64_t{60} << 30);
    v1::CreateModelResponse made;
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(
          Call(server.recommender(), &v1::RecommenderService::Stub::CreateModel, model, &made)
              .ok());
    }
    v1::CreateGpuResponse made_gpu;
    EXPECT_TRUE(
        Call(server.recommender(), &v1::RecommenderService::Stub::CreateGpu, gpu, &made_gpu).ok());
    EXPECT_EQ(DetailsOf(Call(server.recommender(), &v1::RecommenderService::Stub::CreateGpu, gpu,
                             &made_gpu))
                  .reason,
              "NAME_TAKEN");
    model.clear_request_id();
    model.mutable_model()->set_name("LLAMA-3.1-8b");
    EXPECT_EQ(Call(server.recommender(), &v1::RecommenderService::Stub::CreateModel, model, &made)
                  .error_code(),
              grpc::StatusCode::ALREADY_EXISTS);
    model.mutable_model()->set_name("bad name;");
    model.mutable_model()->set_hidden_size(-1);
    EXPECT_THAT(DetailsOf(Call(server.recommender(), &v1::RecommenderService::Stub::CreateModel,
                               model, &made))
                    .fields,
                IsSupersetOf({"model.name", "model"}));
  }
  ServerProcess server(DataDirectory());
  v1::RecommendResponse answer;
  ASSERT_TRUE(Call(server.recommender(), &v1::RecommenderService::Stub::Recommend,
                   Question("US/our-model", "A100-special"), &answer)
                  .ok());
  EXPECT_EQ(answer.inputs().model().layer_count(), 12);
  EXPECT_EQ(answer.inputs().devices().hardware().memory_bytes(), int64_t{60} << 30);
  v1::RecommendRequest two_nodes = Question("us/our-model", "2x4xA100-special");
  two_nodes.mutable_question()->set_network_bytes_per_second(25e9);
  ASSERT_TRUE(
      Call(server.recommender(), &v1::RecommenderService::Stub::Recommend, two_nodes, &answer)
          .ok());
  EXPECT_EQ(answer.inputs().devices().device_count(), 8);
  EXPECT_EQ(answer.inputs().devices().node_count(), 2);
  EXPECT_EQ(answer.inputs().devices().network_bytes_per_second(), 25e9);
  v1::ListModelsResponse models;
  ASSERT_TRUE(Call(server.recommender(), &v1::RecommenderService::Stub::ListModels,
                   v1::ListModelsRequest(), &models)
                  .ok());
  EXPECT_EQ(models.models().rbegin()->name(), "us/our-model");
}

TEST_F(ApiTest, MeasurementsStandBesideThePrediction) {
  ServerProcess server(DataDirectory());
  v1::CreateJobRequest job = JobRequest(1);
  job.mutable_plan()->mutable_prediction()->mutable_time()->set_step_seconds(2);
  job.mutable_plan()->mutable_prediction()->mutable_memory()->set_total_bytes(1000);
  Create(server, job);
  v1::ReportMeasurementRequest request;
  request.set_job("jobs/job-1");
  request.mutable_measured()->set_step_seconds(3);
  request.mutable_measured()->set_peak_device_bytes(900);
  request.set_source("epilog");
  request.set_request_id("r");
  v1::ReportMeasurementResponse response;
  for (int i = 0; i < 2; ++i) {
    const grpc::Status status =
        Call(server.measurements(), &v1::MeasurementService::Stub::ReportMeasurement, request,
             &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.measurement().step_seconds_ratio(), 1.5);
    EXPECT_EQ(response.measurement().device_memory_ratio(), 0.9);
    EXPECT_EQ(response.measurement().model_name(), "1B");
    EXPECT_EQ(response.measurement().device_name(), "cpu");
    EXPECT_EQ(response.measurement().name(), "measurements/1");
  }
  request.clear_request_id();
  *request.mutable_plan() = job.plan();
  ASSERT_TRUE(Call(server.measurements(), &v1::MeasurementService::Stub::ReportMeasurement, request,
                   &response)
                  .ok());
  v1::ListMeasurementsResponse list;
  v1::ListMeasurementsRequest list_request;
  list_request.set_page_size(1);
  ASSERT_TRUE(Call(server.measurements(), &v1::MeasurementService::Stub::ListMeasurements,
                   list_request, &list)
                  .ok());
  ASSERT_EQ(list.measurements_size(), 1);
  EXPECT_EQ(list.measurements(0).job(), "");
  list_request.set_page_token(list.next_page_token());
  ASSERT_TRUE(Call(server.measurements(), &v1::MeasurementService::Stub::ListMeasurements,
                   list_request, &list)
                  .ok());
  EXPECT_EQ(list.measurements(0).job(), "jobs/job-1");
  EXPECT_EQ(list.next_page_token(), "");
  request.set_job("jobs/job-77");
  EXPECT_EQ(Call(server.measurements(), &v1::MeasurementService::Stub::ReportMeasurement, request,
                 &response)
                .error_code(),
            grpc::StatusCode::NOT_FOUND);
  request.mutable_measured()->Clear();
  request.clear_subject();
  EXPECT_EQ(DetailsOf(Call(server.measurements(), &v1::MeasurementService::Stub::ReportMeasurement,
                           request, &response))
                .fields,
            (std::set<std::string>{"job", "measured"}));
}

TEST_F(ApiTest, JobsRunBesideEachOtherAndTheClusterTellsWhatIsFree) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}}, {"--cpu-threads", "2"});
  for (int i = 0; i < 3; ++i) Create(server, JobRequest(10000));
  server.WaitFor("jobs/job-1", v1::JOB_STATE_RUNNING);
  server.WaitFor("jobs/job-2", v1::JOB_STATE_RUNNING);
  absl::SleepFor(absl::Milliseconds(300));
  v1::GetJobRequest get;
  get.set_name("jobs/job-3");
  v1::GetJobResponse third;
  ASSERT_TRUE(Call(server.jobs(), &v1::JobService::Stub::GetJob, get, &third).ok());
  EXPECT_EQ(third.job().state(), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(third.job().reason(), HasSubstr("waits for 1 threads; 0 are free"));
  v1::ListClustersResponse clusters;
  ASSERT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::ListClusters,
                   v1::ListClustersRequest(), &clusters)
                  .ok());
  ASSERT_EQ(clusters.clusters_size(), 1);
  EXPECT_EQ(clusters.clusters(0).name(), "clusters/host");
  EXPECT_EQ(clusters.clusters(0).cpu_thread_count(), 2);
  EXPECT_EQ(clusters.clusters(0).free_cpu_thread_count(), 0);
  EXPECT_EQ(clusters.clusters(0).queued_job_count(), 1);
  EXPECT_EQ(clusters.clusters(0).active_job_count(), 2);
  for (const char* name : {"jobs/job-3", "jobs/job-1", "jobs/job-2"}) {
    v1::CancelJobRequest cancel;
    cancel.set_name(name);
    v1::CancelJobResponse response;
    EXPECT_TRUE(Call(server.jobs(), &v1::JobService::Stub::CancelJob, cancel, &response).ok());
    EXPECT_EQ(server.WaitFor(name).cause(), v1::END_CAUSE_CANCELLED);
  }
  v1::GetClusterRequest wrong;
  wrong.set_name("clusters/moon");
  v1::GetClusterResponse none;
  EXPECT_EQ(DetailsOf(Call(server.clusters(), &v1::ClusterService::Stub::GetCluster, wrong, &none))
                .reason,
            "CLUSTER_NOT_FOUND");
}

grpc::Status CallRaw(const std::string& address, const std::string& method,
                     const std::string& bytes, std::string* answer = nullptr) {
  grpc::GenericStub stub(Connect(address));
  return CallBytes(stub, method, bytes, absl::Seconds(20), answer);
}

TEST_F(ApiTest, WhatDoesNotParseIsInvalidAndWhatIsNotThereUnimplemented) {
  ServerProcess server(DataDirectory());
  for (const char* method :
       {"/tunesmith.v1.JobService/GetJob", "/tunesmith.v1.RecommenderService/Recommend",
        "/tunesmith.v1.RecommenderService/Estimate", "/tunesmith.v1.ClusterService/GetCluster"}) {
    const grpc::Status status = CallRaw(server.address(), method, "\xff\xff");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_EQ(DetailsOf(status).reason, "MALFORMED_REQUEST");
  }
  for (const char* method : {"/tunesmith.v1.JobService/Nonsense",
                             "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"}) {
    EXPECT_EQ(CallRaw(server.address(), method, "").error_code(), grpc::StatusCode::UNIMPLEMENTED)
        << method;
  }
}

// A field of a number that no request has.
constexpr char kAnotherField[] = "\xfa\x3f\x01x";

const google::protobuf::FileDescriptor* FileOf(const std::filesystem::directory_entry& entry) {
  return google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
      "tunesmith/v1/" + entry.path().filename().string());
}

int64_t MethodsWithRequestId() {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PROTO_DIR)) {
    const auto* file = FileOf(entry);
    for (int s = 0; file != nullptr && s < file->service_count(); ++s)
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        if (file->service(s)->method(m)->input_type()->FindFieldByName("request_id") != nullptr)
          ++count;
  }
  return count;
}

// Of every proto of the API.
std::vector<std::string> AllServices() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(PROTO_DIR)) {
    const auto* file = FileOf(entry);
    for (int i = 0; file != nullptr && i < file->service_count(); ++i)
      names.push_back(file->service(i)->full_name());
  }
  return names;
}

// What a tool that knows no protos is told. (grpc.reflection.v1alpha.ServerReflectionRequest: list_services is field 7, file_containing_symbol field 4.)
TEST_F(ApiTest, ReflectionTellsOfEveryServiceAndItsFile) {
  ServerProcess server(DataDirectory());
  grpc::GenericStub stub(Connect(server.address()));
  const auto ask = [&](char field, const std::string& text) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    const auto next = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const auto call = stub.PrepareCall(
        &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
    call->StartCall(nullptr);
    EXPECT_TRUE(next());
    const std::string request = {static_cast<char>(field << 3 | 2), static_cast<char>(text.size())};
    const grpc::Slice slice(request + text);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    EXPECT_TRUE(next());
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    EXPECT_TRUE(next());
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
    grpc::Slice all;
    EXPECT_TRUE(answer.DumpToSingleSlice(&all).ok());
    return std::string(reinterpret_cast<const char*>(all.begin()), all.size());
  };
  const std::string services = ask(7, "*");
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
  for (const std::string& name : AllServices()) {
    EXPECT_THAT(services, HasSubstr(name));
    EXPECT_THAT(ask(4, name), HasSubstr("tunesmith/v1/")) << "the file that describes " << name;
  }
  EXPECT_THAT(ask(4, "grpc.health.v1.Health"), HasSubstr("health"));
}

TEST_F(ApiTest, CapabilitiesNameServicesAndFamilies) {
  ServerProcess server(DataDirectory());
  v1::GetCapabilitiesResponse response;
  ASSERT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::GetCapabilities,
                   v1::GetCapabilitiesRequest(), &response)
                  .ok());
  EXPECT_THAT(response.services(), ::testing::UnorderedElementsAreArray(AllServices()));
  EXPECT_THAT(response.trained_families(), ::testing::Contains("llama"));
  EXPECT_THAT(response.planned_families(), ::testing::Contains("mixtral"));
  EXPECT_EQ(response.database_problem(), "");
}

// A page of an index that nothing reads is damaged while the server is gone.
TEST_F(ApiTest, DamageIsToldOfAfterAStopThatWasNotOrderly) {
  const std::string path = DataDirectory() + "/tunesmith.db";
  const auto problem = [&](ServerProcess& server) {
    v1::GetCapabilitiesResponse response;
    for (int tries = 0; tries < 50 && response.database_problem().empty(); ++tries) {
      absl::SleepFor(absl::Milliseconds(20));
      EXPECT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::GetCapabilities,
                       v1::GetCapabilitiesRequest(), &response)
                      .ok());
    }
    return response.database_problem();
  };
  { ServerProcess server(DataDirectory()); }
  int64_t page = 0, page_bytes = 0;
  {
    auto database = Database::Open(path, OpenMode::kReadOnly);
    page = *database->QueryInteger(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'measurements_by_job'");
    page_bytes = *database->QueryInteger("PRAGMA page_size");
  }
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * page_bytes);
    file << std::string(64, 'x');
  }
  {
    ServerProcess server(DataDirectory());
    EXPECT_EQ(problem(server), "") << "after an orderly stop nothing is looked through";
    server.Kill();
  }
  ServerProcess server(DataDirectory());
  EXPECT_NE(problem(server), "");
  EXPECT_THAT(server.Log(), HasSubstr("the database was checked: DATA_LOSS"));
  EXPECT_EQ(Create(server, JobRequest(2)).name(), "jobs/job-1") << "what is whole is served";
}

// Requests that are good, of every method that takes a request_id; whose answers are kept.
TEST_F(ApiTest, EveryMethodThatTakesARequestIdKeepsItsAnswer) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "200"}},
                       {"--profiler", FakeProfilerPath()});
  const v1::CreateJobRequest job = JobRequest(20);
  std::map<std::string, std::shared_ptr<google::protobuf::Message>> requests;
  for (const WireSeed& seed : WireSeeds(job)) requests[seed.method] = seed.request;
  const auto change = [&](const std::string& method, auto request, auto set) {
    set(request);
    requests["/tunesmith.v1." + method] =
        std::make_shared<std::decay_t<decltype(request)>>(request);
  };
  change("JobService/CreateJob", job, [](auto&) {});
  const std::string cancelled = Create(server, job).name();
  v1::CancelJobRequest cancel;
  cancel.set_name(cancelled);
  v1::CancelJobResponse response;
  ASSERT_TRUE(Call(server.jobs(), &v1::JobService::Stub::CancelJob, cancel, &response).ok());
  ASSERT_EQ(server.WaitFor(cancelled).state(), v1::JOB_STATE_CANCELLED);
  change("JobService/ResumeJob", v1::ResumeJobRequest(),
         [&](v1::ResumeJobRequest& resume) { resume.set_name(cancelled); });
  v1::CreateModelRequest model;
  *model.mutable_model() = job.plan().inputs().model();
  change("RecommenderService/CreateModel", model,
         [](v1::CreateModelRequest& create) { create.mutable_model()->set_name("a-model"); });
  v1::CreateGpuRequest gpu;
  *gpu.mutable_gpu() = job.plan().inputs().devices().hardware();
  change("RecommenderService/CreateGpu", gpu,
         [](v1::CreateGpuRequest& create) { create.mutable_gpu()->set_name("a-gpu"); });
  change("CalibrationService/StartCalibration", v1::StartCalibrationRequest(), [](auto&) {});

  int64_t count = 0;
  for (const auto& [method, request] : requests) {
    const auto* field = request->GetDescriptor()->FindFieldByName("request_id");
    if (field == nullptr) continue;
    ++count;
    request->GetReflection()->SetString(request.get(), field, "an-id");
    const std::string bytes = request->SerializeAsString();
    std::string first, again;
    const grpc::Status status = CallRaw(server.address(), method, bytes, &first);
    ASSERT_TRUE(status.ok()) << method << " " << status.error_message();
    EXPECT_TRUE(CallRaw(server.address(), method, bytes, &again).ok()) << method;
    EXPECT_EQ(first, again) << method;
    const grpc::Status other = CallRaw(server.address(), method, bytes + kAnotherField, &again);
    EXPECT_EQ(other.error_code(), grpc::StatusCode::ALREADY_EXISTS) << method;
    EXPECT_EQ(DetailsOf(other).reason, "REQUEST_ID_REUSED") << method;
  }
  EXPECT_EQ(count, MethodsWithRequestId()) << "a method is not among them";
}

TEST_F(ApiTest, AnAttemptThatSomebodyElseStopsIsPreemptedAndGoesOn) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string name = Create(server, JobRequest(30)).name();
  const v1::Job running = server.WaitFor(name, v1::JOB_STATE_RUNNING);
  absl::SleepFor(absl::Milliseconds(200));
  const v1::ShimHandle handle = HandleOf(running);
  SignalProcess(handle.pid(), handle.start_ticks(), SIGTERM);
  const v1::Job job = server.WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 2);
  const std::vector<v1::Event> events = server.Watch(name);
  EXPECT_THAT(Causes(events), ElementsAre(v1::END_CAUSE_PREEMPTED, v1::END_CAUSE_COMPLETED));
  int64_t steps = 0;
  for (const v1::Event& event : events) steps += event.has_progress() ? 1 : 0;
  EXPECT_EQ(steps, 30) << "it went on from its checkpoint";
}

TEST_F(ApiTest, KilledLostAndNotStartedAreToldApart) {
  {
    ServerProcess server(DataDirectory(), {{"FAKE_CRASH_AT_STEP", "2"}});
    Create(server, JobRequest(5));
    EXPECT_EQ(server.WaitFor("jobs/job-1").cause(), v1::END_CAUSE_KILLED);
  }
  {
    ServerProcess server(DataDirectory(), {}, {"--shim", "/absent/shim"});
    Create(server, JobRequest(5));
    const v1::Job job = server.WaitFor("jobs/job-2");
    EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED);
    EXPECT_THAT(job.reason(), HasSubstr("/absent/shim"));
  }
  {
    ServerProcess server(DataDirectory(), {{"TUNESMITH_FAIL_POINT", "shim_claimed"}});
    Create(server, JobRequest(5));
    const v1::Job job = server.WaitFor("jobs/job-3", v1::JOB_STATE_UNSPECIFIED, 5);
    EXPECT_EQ(job.cause(), v1::END_CAUSE_LOST) << job.reason();
  }
}

}  // namespace
}  // namespace tunesmith::server
