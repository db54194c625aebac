#include "client/client.h"

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "client/tls_diagnosis.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "grpcpp/grpcpp.h"
#include "planner/model/catalog.h"
#include "proto/convert/answer.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/model.h"
#include "proto/convert/size.h"
#include "tunesmith/v1/calibrations.grpc.pb.h"
#include "tunesmith/v1/clusters.grpc.pb.h"
#include "tunesmith/v1/jobs.grpc.pb.h"
#include "tunesmith/v1/measurements.grpc.pb.h"
#include "tunesmith/v1/recommender.grpc.pb.h"

namespace tunesmith::client {
namespace {

constexpr absl::Duration kWatchPatience = absl::Minutes(1);
constexpr absl::Duration kWatchPause = absl::Milliseconds(500);
constexpr absl::Duration kInterruptTick = absl::Milliseconds(100);

absl::Status FromGrpc(const grpc::Status& status, const ClientOptions& options) {
  if (status.ok()) return absl::OkStatus();
  const std::string& server = options.server;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
    TUNESMITH_RETURN_IF_ERROR(DiagnoseTls(server, options.credentials));
  const auto code = static_cast<absl::StatusCode>(status.error_code());  // the numbers are the same
  std::string message = status.error_message();
  if (code == absl::StatusCode::kUnavailable)
    message = StrCat("no answer from ", server, " (", message, "); is tunesmithd running there?");
  if (code == absl::StatusCode::kDeadlineExceeded)
    message =
        StrCat("no answer from ", server, " in time (", message, "); allow more with --timeout");
  return absl::Status(code, message);
}

// One unary call with a deadline.
template <typename Response, typename Stub, typename Request>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request, const ClientOptions& options) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  Response response;
  TUNESMITH_RETURN_IF_ERROR(FromGrpc((stub.*method)(&context, request, &response), options));
  return response;
}

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

class RemoteRecommender final : public Recommender {
 public:
  explicit RemoteRecommender(const ClientOptions& options)
      : options_(options),
        stub_(v1::RecommenderService::NewStub(MakeChannel(options.server, options.credentials))) {}

  absl::StatusOr<v1::RecommendResponse> Recommend(const v1::RecommendRequest& request) override {
    return Call(*stub_, &v1::RecommenderService::Stub::Recommend, request, options_);
  }
  absl::StatusOr<v1::EstimateResponse> Estimate(const v1::EstimateRequest& request) override {
    return Call(*stub_, &v1::RecommenderService::Stub::Estimate, request, options_);
  }
  absl::StatusOr<v1::SizeResponse> Size(const v1::SizeRequest& request) override {
    return Call(*stub_, &v1::RecommenderService::Stub::Size, request, options_);
  }
  absl::StatusOr<v1::ListModelsResponse> ListModels() override {
    return Call(*stub_, &v1::RecommenderService::Stub::ListModels, v1::ListModelsRequest(),
                options_);
  }
  absl::StatusOr<v1::ListGpusResponse> ListGpus() override {
    return Call(*stub_, &v1::RecommenderService::Stub::ListGpus, v1::ListGpusRequest(), options_);
  }
  absl::StatusOr<v1::GetModelResponse> GetModel(const std::string& name) override {
    return Call(*stub_, &v1::RecommenderService::Stub::GetModel, Named<v1::GetModelRequest>(name),
                options_);
  }
  absl::StatusOr<v1::GetGpuResponse> GetGpu(const std::string& name) override {
    return Call(*stub_, &v1::RecommenderService::Stub::GetGpu, Named<v1::GetGpuRequest>(name),
                options_);
  }
  absl::StatusOr<v1::CreateModelResponse> CreateModel(
      const v1::CreateModelRequest& request) override {
    return Call(*stub_, &v1::RecommenderService::Stub::CreateModel, request, options_);
  }
  absl::StatusOr<v1::CreateGpuResponse> CreateGpu(const v1::CreateGpuRequest& request) override {
    return Call(*stub_, &v1::RecommenderService::Stub::CreateGpu, request, options_);
  }

 private:
  const ClientOptions options_;
  std::unique_ptr<v1::RecommenderService::Stub> stub_;
};

std::optional<planner::Calibration> LocalCalibration(std::string_view device_name,
                                                     planner::Precision precision) {
  return convert::NewestCalibration(convert::DefaultDataDirectory(), device_name, precision);
}

class OfflineRecommender final : public Recommender {
 public:
  explicit OfflineRecommender(absl::Duration timeout) : timeout_(timeout) {}

  absl::StatusOr<v1::RecommendResponse> Recommend(const v1::RecommendRequest& request) override {
    return convert::AnswerRecommend(request, LocalCalibration, absl::Now() + timeout_);
  }
  absl::StatusOr<v1::EstimateResponse> Estimate(const v1::EstimateRequest& request) override {
    return convert::AnswerEstimate(request, LocalCalibration);
  }
  absl::StatusOr<v1::SizeResponse> Size(const v1::SizeRequest& request) override {
    return convert::AnswerSize(request, LocalCalibration, absl::Now() + timeout_);
  }
  absl::StatusOr<v1::ListModelsResponse> ListModels() override {
    return convert::AnswerListModels();
  }
  absl::StatusOr<v1::ListGpusResponse> ListGpus() override { return convert::AnswerListGpus(); }
  absl::StatusOr<v1::GetModelResponse> GetModel(const std::string& name) override {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::ModelSpec model, planner::FindModel(name));
    v1::GetModelResponse response;
    *response.mutable_model() = convert::ToProto(model);
    return response;
  }
  absl::StatusOr<v1::GetGpuResponse> GetGpu(const std::string& name) override {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Hardware gpu, planner::FindHardware(name));
    v1::GetGpuResponse response;
    *response.mutable_gpu() = convert::ToProto(gpu);
    return response;
  }
  absl::StatusOr<v1::CreateModelResponse> CreateModel(const v1::CreateModelRequest&) override {
    return NeedsServer();
  }
  absl::StatusOr<v1::CreateGpuResponse> CreateGpu(const v1::CreateGpuRequest&) override {
    return NeedsServer();
  }

 private:
  static absl::Status NeedsServer() {
    return absl::FailedPreconditionError(
        "additions to the catalog are kept by a server; leave --offline out");
  }

  const absl::Duration timeout_;
};

// Cancels a call when the user interrupts, while the calling thread is blocked in it.
class Interrupter {
 public:
  Interrupter(grpc::ClientContext& context, const std::function<bool()>& interrupted)
      : thread_([this, &context, &interrupted] {
          while (!done_ && !interrupted()) absl::SleepFor(kInterruptTick);
          if (!done_) context.TryCancel();
        }) {}
  ~Interrupter() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

class RemoteJobClient final : public JobClient {
 public:
  explicit RemoteJobClient(const ClientOptions& options)
      : options_(options),
        stub_(v1::JobService::NewStub(MakeChannel(options.server, options.credentials))) {}

  absl::StatusOr<v1::CreateJobResponse> Create(const v1::CreateJobRequest& request) override {
    return Call(*stub_, &v1::JobService::Stub::CreateJob, request, options_);
  }
  absl::StatusOr<v1::Job> Get(const std::string& name) override {
    return JobOf(
        Call(*stub_, &v1::JobService::Stub::GetJob, Named<v1::GetJobRequest>(name), options_));
  }
  absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request) override {
    return Call(*stub_, &v1::JobService::Stub::ListJobs, request, options_);
  }
  absl::StatusOr<v1::Job> Cancel(const std::string& name) override {
    return JobOf(Call(*stub_, &v1::JobService::Stub::CancelJob, Named<v1::CancelJobRequest>(name),
                      options_));
  }
  absl::StatusOr<v1::Job> Resume(const v1::ResumeJobRequest& request) override {
    return JobOf(Call(*stub_, &v1::JobService::Stub::ResumeJob, request, options_));
  }
  absl::Status Logs(const v1::StreamLogsRequest& request,
                    const std::function<void(const std::string& bytes)>& sink,
                    const std::function<bool()>& interrupted) override;
  absl::StatusOr<v1::Job> Watch(const std::string& name, int64_t after_sequence,
                                const std::function<void(const v1::WatchJobResponse&)>& sink,
                                const std::function<bool()>& interrupted) override;

 private:
  template <typename Response>
  static absl::StatusOr<v1::Job> JobOf(absl::StatusOr<Response> response) {
    TUNESMITH_RETURN_IF_ERROR(response.status());
    return std::move(*response->mutable_job());
  }

  const ClientOptions options_;
  std::unique_ptr<v1::JobService::Stub> stub_;
};

absl::StatusOr<v1::Job> RemoteJobClient::Watch(
    const std::string& name, int64_t after_sequence,
    const std::function<void(const v1::WatchJobResponse&)>& sink,
    const std::function<bool()>& interrupted) {
  v1::WatchJobRequest request = Named<v1::WatchJobRequest>(name);
  request.set_after_sequence(after_sequence);
  absl::Time last_answer = absl::Now();
  bool had_answer = false;
  while (true) {
    grpc::ClientContext context;
    v1::Job job;
    grpc::Status status;
    {
      const Interrupter interrupter(context, interrupted);
      const auto reader = stub_->WatchJob(&context, request);
      v1::WatchJobResponse response;
      while (reader->Read(&response)) {
        had_answer = true;
        last_answer = absl::Now();
        if (response.has_event()) request.set_after_sequence(response.event().sequence());
        if (response.has_snapshot()) job = response.snapshot();
        sink(response);
      }
      status = reader->Finish();
    }
    if (interrupted()) return absl::CancelledError("interrupted");
    if (status.ok()) return job;
    const bool try_again = status.error_code() == grpc::StatusCode::UNAVAILABLE && had_answer &&
                           absl::Now() - last_answer < kWatchPatience;
    if (!try_again) return FromGrpc(status, options_);
    absl::SleepFor(kWatchPause);
  }
}

absl::Status RemoteJobClient::Logs(const v1::StreamLogsRequest& asked,
                                   const std::function<void(const std::string& bytes)>& sink,
                                   const std::function<bool()>& interrupted) {
  v1::StreamLogsRequest request = asked;
  absl::Time last_answer = absl::Now();
  bool had_answer = false;
  while (true) {
    grpc::ClientContext context;
    grpc::Status status;
    {
      const Interrupter interrupter(context, interrupted);
      const auto reader = stub_->StreamLogs(&context, request);
      v1::StreamLogsResponse response;
      while (reader->Read(&response)) {
        had_answer = true;
        last_answer = absl::Now();
        request.set_offset(response.next_offset());
        request.clear_tail_bytes();
        sink(response.data());
      }
      status = reader->Finish();
    }
    if (interrupted()) return absl::CancelledError("interrupted");
    const bool try_again = status.error_code() == grpc::StatusCode::UNAVAILABLE && had_answer &&
                           absl::Now() - last_answer < kWatchPatience;
    if (!try_again) return FromGrpc(status, options_);
    absl::SleepFor(kWatchPause);
  }
}

class RemoteClusterClient final : public ClusterClient {
 public:
  explicit RemoteClusterClient(const ClientOptions& options)
      : options_(options),
        stub_(v1::ClusterService::NewStub(MakeChannel(options.server, options.credentials))) {}

  absl::StatusOr<v1::ListClustersResponse> List() override {
    return Call(*stub_, &v1::ClusterService::Stub::ListClusters, v1::ListClustersRequest(),
                options_);
  }

 private:
  const ClientOptions options_;
  std::unique_ptr<v1::ClusterService::Stub> stub_;
};

class RemoteMeasurementClient final : public MeasurementClient {
 public:
  explicit RemoteMeasurementClient(const ClientOptions& options)
      : options_(options),
        stub_(v1::MeasurementService::NewStub(MakeChannel(options.server, options.credentials))) {}

  absl::StatusOr<v1::ReportMeasurementResponse> Report(
      const v1::ReportMeasurementRequest& request) override {
    return Call(*stub_, &v1::MeasurementService::Stub::ReportMeasurement, request, options_);
  }
  absl::StatusOr<v1::ListMeasurementsResponse> List(
      const v1::ListMeasurementsRequest& request) override {
    return Call(*stub_, &v1::MeasurementService::Stub::ListMeasurements, request, options_);
  }

 private:
  const ClientOptions options_;
  std::unique_ptr<v1::MeasurementService::Stub> stub_;
};

class RemoteCalibrationClient final : public CalibrationClient {
 public:
  using Stub = v1::CalibrationService::Stub;

  explicit RemoteCalibrationClient(const ClientOptions& options)
      : options_(options),
        stub_(v1::CalibrationService::NewStub(MakeChannel(options.server, options.credentials))) {}

  absl::StatusOr<v1::ListCalibrationsResponse> List(
      const v1::ListCalibrationsRequest& request) override {
    return Call(*stub_, &Stub::ListCalibrations, request, options_);
  }
  absl::StatusOr<v1::GetCalibrationResponse> Get(const std::string& name) override {
    return Call(*stub_, &Stub::GetCalibration, Named<v1::GetCalibrationRequest>(name), options_);
  }
  absl::StatusOr<v1::ImportCalibrationResponse> Import(
      const v1::ImportCalibrationRequest& request) override {
    return Call(*stub_, &Stub::ImportCalibration, request, options_);
  }
  absl::StatusOr<v1::DeleteCalibrationResponse> Delete(const std::string& name) override {
    return Call(*stub_, &Stub::DeleteCalibration, Named<v1::DeleteCalibrationRequest>(name),
                options_);
  }
  absl::StatusOr<v1::StartCalibrationResponse> Start(
      const v1::StartCalibrationRequest& request) override {
    return Call(*stub_, &Stub::StartCalibration, request, options_);
  }
  absl::StatusOr<v1::CalibrationRun> GetRun(const std::string& name) override {
    TUNESMITH_ASSIGN_OR_RETURN(v1::GetCalibrationRunResponse response,
                               Call(*stub_, &Stub::GetCalibrationRun,
                                    Named<v1::GetCalibrationRunRequest>(name), options_));
    return std::move(*response.mutable_run());
  }
  absl::StatusOr<v1::ListCalibrationRunsResponse> ListRuns(
      const v1::ListCalibrationRunsRequest& request) override {
    return Call(*stub_, &Stub::ListCalibrationRuns, request, options_);
  }
  absl::StatusOr<v1::CalibrationRun> CancelRun(const std::string& name) override {
    TUNESMITH_ASSIGN_OR_RETURN(v1::CancelCalibrationRunResponse response,
                               Call(*stub_, &Stub::CancelCalibrationRun,
                                    Named<v1::CancelCalibrationRunRequest>(name), options_));
    return std::move(*response.mutable_run());
  }

 private:
  const ClientOptions options_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace

std::unique_ptr<CalibrationClient> MakeCalibrationClient(const ClientOptions& options) {
  return std::make_unique<RemoteCalibrationClient>(options);
}

std::unique_ptr<MeasurementClient> MakeMeasurementClient(const ClientOptions& options) {
  return std::make_unique<RemoteMeasurementClient>(options);
}

std::unique_ptr<ClusterClient> MakeClusterClient(const ClientOptions& options) {
  return std::make_unique<RemoteClusterClient>(options);
}

std::unique_ptr<Recommender> MakeRemoteRecommender(const ClientOptions& options) {
  return std::make_unique<RemoteRecommender>(options);
}

std::unique_ptr<Recommender> MakeOfflineRecommender(absl::Duration timeout) {
  return std::make_unique<OfflineRecommender>(timeout);
}

std::unique_ptr<JobClient> MakeJobClient(const ClientOptions& options) {
  return std::make_unique<RemoteJobClient>(options);
}

}  // namespace tunesmith::client
