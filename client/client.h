#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/credentials.h"
#include "tunesmith/v1/calibrations.pb.h"
#include "tunesmith/v1/clusters.pb.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/measurements.pb.h"
#include "tunesmith/v1/recommender.pb.h"

// The C++ client of Tunesmith. Every call has a deadline. Errors carry the server's code and message; UNAVAILABLE also says which server
// was asked. Thread-safe.
namespace tunesmith::client {

// What recommends: a server, or the planner that is linked into the client. Errors as recommender.proto states them.
class Recommender {
 public:
  virtual ~Recommender() = default;
  virtual absl::StatusOr<v1::RecommendResponse> Recommend(const v1::RecommendRequest& request) = 0;
  virtual absl::StatusOr<v1::EstimateResponse> Estimate(const v1::EstimateRequest& request) = 0;
  virtual absl::StatusOr<v1::SizeResponse> Size(const v1::SizeRequest& request) = 0;
  virtual absl::StatusOr<v1::ListModelsResponse> ListModels() = 0;
  virtual absl::StatusOr<v1::ListGpusResponse> ListGpus() = 0;
  virtual absl::StatusOr<v1::GetModelResponse> GetModel(const std::string& name) = 0;
  virtual absl::StatusOr<v1::GetGpuResponse> GetGpu(const std::string& name) = 0;

  // FAILED_PRECONDITION from the linked planner, which stores nothing.
  virtual absl::StatusOr<v1::CreateModelResponse> CreateModel(
      const v1::CreateModelRequest& request) = 0;
  virtual absl::StatusOr<v1::CreateGpuResponse> CreateGpu(const v1::CreateGpuRequest& request) = 0;
};

struct ClientOptions {
  std::string server = "127.0.0.1:7433";  // HOST:PORT or unix:PATH
  Credentials credentials;
  absl::Duration timeout = absl::Seconds(30);  // per call; WatchJob has none
};

// No connection is made before the first call.
std::unique_ptr<Recommender> MakeRemoteRecommender(const ClientOptions& options);

// Calibrations are those in the data directory on this host, as the server's. `timeout` bounds the search.
std::unique_ptr<Recommender> MakeOfflineRecommender(absl::Duration timeout);

// Jobs on a server. Errors as jobs.proto states them.
class JobClient {
 public:
  virtual ~JobClient() = default;
  virtual absl::StatusOr<v1::CreateJobResponse> Create(const v1::CreateJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> Get(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> Cancel(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Job> Resume(const v1::ResumeJobRequest& request) = 0;

  // Hands the log's bytes to `sink` to the stream's end. A stream that breaks because the server went away is taken up again, as Watch does.
  virtual absl::Status Logs(const v1::StreamLogsRequest& request,
                            const std::function<void(const std::string& bytes)>& sink,
                            const std::function<bool()>& interrupted) = 0;

  // Hands each update of the job's stream to `sink`, until the job is terminal; then the job as it ended. A stream that breaks because the
  // server went away is taken up again without hole or repetition, for up to a minute without an answer. CANCELLED when `interrupted`
  // becomes true (looked at ten times a second).
  virtual absl::StatusOr<v1::Job> Watch(
      const std::string& name, int64_t after_sequence,
      const std::function<void(const v1::WatchJobResponse&)>& sink,
      const std::function<bool()>& interrupted) = 0;
};

// Clusters and capabilities of a server. Errors as clusters.proto states them.
class ClusterClient {
 public:
  virtual ~ClusterClient() = default;
  virtual absl::StatusOr<v1::ListClustersResponse> List() = 0;
};

// Measurements on a server. Errors as measurements.proto states them.
class MeasurementClient {
 public:
  virtual ~MeasurementClient() = default;
  virtual absl::StatusOr<v1::ReportMeasurementResponse> Report(
      const v1::ReportMeasurementRequest& request) = 0;
  virtual absl::StatusOr<v1::ListMeasurementsResponse> List(
      const v1::ListMeasurementsRequest& request) = 0;
};

// Calibrations that are kept: a server's, or those of this host's data directory (local_calibrations.h). Errors as calibrations.proto states them.
class CalibrationLibrary {
 public:
  virtual ~CalibrationLibrary() = default;
  virtual absl::StatusOr<v1::ListCalibrationsResponse> List(
      const v1::ListCalibrationsRequest& request) = 0;
  virtual absl::StatusOr<v1::GetCalibrationResponse> Get(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ImportCalibrationResponse> Import(
      const v1::ImportCalibrationRequest& request) = 0;
  virtual absl::StatusOr<v1::DeleteCalibrationResponse> Delete(const std::string& name) = 0;
};

// Calibrations of a server, and its runs.
class CalibrationClient : public CalibrationLibrary {
 public:
  virtual absl::StatusOr<v1::StartCalibrationResponse> Start(
      const v1::StartCalibrationRequest& request) = 0;
  virtual absl::StatusOr<v1::CalibrationRun> GetRun(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListCalibrationRunsResponse> ListRuns(
      const v1::ListCalibrationRunsRequest& request) = 0;
  virtual absl::StatusOr<v1::CalibrationRun> CancelRun(const std::string& name) = 0;
};

std::unique_ptr<CalibrationClient> MakeCalibrationClient(const ClientOptions& options);

std::unique_ptr<MeasurementClient> MakeMeasurementClient(const ClientOptions& options);

std::unique_ptr<ClusterClient> MakeClusterClient(const ClientOptions& options);

std::unique_ptr<JobClient> MakeJobClient(const ClientOptions& options);

}  // namespace tunesmith::client
