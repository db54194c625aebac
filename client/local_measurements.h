#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tunesmith/v1/measurements.pb.h"

namespace tunesmith::client {

// What jobs that ended well said of themselves, from their run directories below `jobs_directory`; those that are not whole are passed over. Errors of listing the directory.
absl::StatusOr<std::vector<v1::Measurement>> LocalMeasurements(const std::string& jobs_directory);

}  // namespace tunesmith::client
