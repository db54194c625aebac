#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/database_pool.h"
#include "tunesmith/v1/calibrations.pb.h"

namespace tunesmith::server {

// Every calibration that the server has ever seen, in SQLite: plans and answers name calibrations whose files may have gone. Which of them are in use is for Calibrations
// to say; the `use` of a record is DELETED or unspecified here. Thread-safe.
class CalibrationHistory {
 public:
  // The pool outlives the history.
  explicit CalibrationHistory(DatabasePool& pool) : pool_(pool) {}

  // Notes where a calibration is from, whether it is known already or not.
  absl::Status Add(const v1::Calibration& calibration, const std::string& source);

  // `present`: all that are there now. Adds what is new, with the source "file"; what is there no more is deleted from now on, and what came back is not.
  absl::Status Sync(const std::vector<v1::Calibration>& present);

  // NOT_FOUND names the calibration, by its name "calibrations/{id}".
  absl::StatusOr<v1::CalibrationRecord> Get(const std::string& name);

  // A page, without tables. Errors as calibrations.proto states them.
  absl::StatusOr<v1::ListCalibrationsResponse> List(const v1::ListCalibrationsRequest& request);

 private:
  DatabasePool& pool_;
};

// "calibrations/{id}".
std::string CalibrationName(const std::string& id);

// The id in a name; INVALID_ARGUMENT for what is no name of a calibration.
absl::StatusOr<std::string> CalibrationId(const std::string& name);

}  // namespace tunesmith::server
