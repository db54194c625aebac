#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "planner/price/calibration.h"

namespace tunesmith::server {

// The calibrations that questions are priced with: those in the data directory, read again when
// the directory has changed, and one that the operator fixed. Thread-safe.
class Calibrations {
 public:
  // `fixed` goes before those in the directory, for its device.
  Calibrations(std::string data_directory, std::optional<planner::Calibration> fixed);

  // Rates were measured on this host, so they price its own processor; other devices are priced
  // from datasheets, but for the fixed one.
  std::optional<planner::Calibration> Find(std::string_view device_name);

  // Grows when the directory changes: answers that were given before may be others now.
  int64_t version();

 private:
  void Refresh();  // REQUIRES: mutex_ held

  const std::string data_directory_;
  const std::optional<planner::Calibration> fixed_;
  std::mutex mutex_;
  int64_t version_ = 0;
  int64_t directory_nanos_ = -1;  // when it was changed last
  std::optional<planner::Calibration> of_cpu_;
};

}  // namespace tunesmith::server
