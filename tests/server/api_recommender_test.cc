#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/server/api_fixture.h"

// Answers to questions over the wire, the catalog they are asked about, and measurements beside them.
namespace tunesmith::server {
namespace {

using ::testing::IsSupersetOf;

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

}  // namespace
}  // namespace tunesmith::server
