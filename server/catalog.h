#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/database_pool.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::server {

// The models and devices that are known by name: the planner's, and those that were added, which
// are stored and held in memory. Thread-safe.
class Catalog {
 public:
  // Reads what was stored. The pool outlives the catalog.
  explicit Catalog(DatabasePool& pool) : pool_(pool) {}
  absl::Status Load();

  v1::ListModelsResponse ListModels() const;
  v1::ListGpusResponse ListGpus() const;

  // NOT_FOUND with the nearest names.
  absl::StatusOr<v1::GetModelResponse> GetModel(const std::string& name) const;
  absl::StatusOr<v1::GetGpuResponse> GetGpu(const std::string& name) const;

  // Errors as recommender.proto states them.
  absl::StatusOr<v1::CreateModelResponse> CreateModel(const v1::CreateModelRequest& request);
  absl::StatusOr<v1::CreateGpuResponse> CreateGpu(const v1::CreateGpuRequest& request);

  // Puts what was added in the place of its name, so that the planner need not know of it.
  void Resolve(v1::Question& question) const;
  // Likewise of its question and its kinds of devices.
  void Resolve(v1::SizeRequest& request) const;

  // Grows with every addition: what was answered before may be answered otherwise afterwards.
  int64_t version() const { return version_; }

 private:
  DatabasePool& pool_;
  mutable std::mutex mutex_;
  std::map<std::string, v1::ModelSpec> models_;  // by name in lower case
  std::map<std::string, v1::Hardware> gpus_;
  std::atomic<int64_t> version_{0};
};

}  // namespace tunesmith::server
