#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tunesmith/v1/jobs.pb.h"
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
};

struct ClientOptions {
  std::string server = "127.0.0.1:7433";
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
  virtual absl::StatusOr<v1::Job> Create(const v1::CreateJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> Get(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> Cancel(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Job> Resume(const std::string& name) = 0;

  // Hands each update of the job's stream to `sink`, until the job is terminal; then the job as it ended. A stream that breaks because the
  // server went away is taken up again without hole or repetition, for up to a minute without an answer. CANCELLED when `interrupted`
  // becomes true (looked at ten times a second).
  virtual absl::StatusOr<v1::Job> Watch(
      const std::string& name, int64_t after_sequence,
      const std::function<void(const v1::WatchJobResponse&)>& sink,
      const std::function<bool()>& interrupted) = 0;
};

std::unique_ptr<JobClient> MakeJobClient(const ClientOptions& options);

}  // namespace tunesmith::client
