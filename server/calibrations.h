#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/price/calibration.h"
#include "proto/convert/data_directory.h"
#include "server/calibration_history.h"
#include "tunesmith/v1/calibrations.pb.h"

namespace tunesmith::server {

// The calibrations that questions are priced with: those in the data directory, read again when
// the directory has changed, and one that the operator fixed. All that it sees goes into the
// history. Thread-safe.
class Calibrations {
 public:
  // `fixed` goes before those in the directory, for its device. `log` takes lines for the server's
  // log. The history outlives this object.
  Calibrations(std::string data_directory, std::optional<planner::Calibration> fixed,
               CalibrationHistory& history, std::function<void(const std::string&)> log);

  // The newest of the device in this precision, or what one of another says of it: of `cpu` those of this host only, whose processor they were measured on.
  std::optional<planner::Calibration> Find(std::string_view device_name,
                                           planner::Precision precision);

  // Grows when the directory changes: answers that were given before may be others now.
  int64_t version();

  // Errors as calibrations.proto states them.
  absl::StatusOr<v1::ListCalibrationsResponse> List(const v1::ListCalibrationsRequest& request);
  absl::StatusOr<v1::CalibrationRecord> Get(const std::string& name);

  // Puts a calibration that was checked into the data directory. Without its tables. ALREADY_EXISTS where
  // another has its id.
  absl::StatusOr<v1::CalibrationRecord> Import(const planner::Calibration& calibration);
  absl::StatusOr<v1::CalibrationRecord> Delete(const std::string& name);

 private:
  void Refresh();       // REQUIRES: mutex_ held
  void StoreHistory();  // REQUIRES: mutex_ held, unstored_
  void LookAgain();
  void SetUse(v1::CalibrationRecord& record);

  const std::string data_directory_;
  const std::optional<planner::Calibration> fixed_;
  CalibrationHistory& history_;
  const std::function<void(const std::string&)> log_;
  std::mutex mutex_;
  int64_t version_ = 0;
  int64_t directory_nanos_ = -1;  // when it was changed last
  convert::NewestCalibrations newest_;
  std::optional<std::vector<v1::Calibration>>
      unstored_;                 // files that the history has yet to be told of
  absl::Status history_status_;  // of the last try
};

}  // namespace tunesmith::server
