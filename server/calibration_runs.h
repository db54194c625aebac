#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/database_pool.h"
#include "server/requests.h"
#include "tunesmith/v1/calibrations.pb.h"

namespace tunesmith::server {

// Runs of the profiler, in SQLite. Thread-safe.
class CalibrationRuns {
 public:
  // The pool outlives the runs.
  explicit CalibrationRuns(DatabasePool& pool) : pool_(pool) {}

  // Stores a QUEUED run of a spec that was checked. A key that is known gives the stored answer. FAILED_PRECONDITION names the run of the same device that has not ended.
  absl::StatusOr<v1::StartCalibrationResponse> Start(const v1::CalibrationSpec& spec,
                                                     const RequestKey& key);

  // NOT_FOUND names the run.
  absl::StatusOr<v1::CalibrationRun> Get(const std::string& name);

  // A page. Errors as calibrations.proto states them.
  absl::StatusOr<v1::ListCalibrationRunsResponse> List(
      const v1::ListCalibrationRunsRequest& request);

  // Those that have not ended, in the order of their turns.
  absl::StatusOr<std::vector<v1::CalibrationRun>> Active();

  // Applies `change` in a transaction; an error of it takes all back.
  using Change = std::function<absl::Status(v1::CalibrationRun&)>;
  absl::StatusOr<v1::CalibrationRun> Update(const std::string& name, const Change& change);

  // Ends a queued run, and notes the wish for one that measures.
  absl::StatusOr<v1::CalibrationRun> RequestCancel(const std::string& name);

 private:
  DatabasePool& pool_;
};

// Sets state, reason and the time of the end.
void EndRun(v1::CalibrationRun& run, v1::CalibrationRunState state, const std::string& reason);

}  // namespace tunesmith::server
