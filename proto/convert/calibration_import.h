#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/price/calibration.h"
#include "tunesmith/v1/calibration.pb.h"

// Calibrations that come from elsewhere into a data directory.
namespace tunesmith::convert {

// The calibration, which may price devices on this host. INVALID_ARGUMENT names every entry that cannot be right, under the path `field`; FAILED_PRECONDITION: it is of
// another host's processor. Whether its device is known is for the caller to say, who may know more than the catalog.
absl::StatusOr<planner::Calibration> CheckImport(const v1::Calibration& proto,
                                                 std::string_view field);

// Puts it into calibrations/. ALREADY_EXISTS: another calibration there has its id. Otherwise errors as WriteFileAtomically.
absl::Status StoreImport(const std::string& data_directory,
                         const planner::Calibration& calibration);

// What lists show.
void ClearTables(v1::Calibration& calibration);

}  // namespace tunesmith::convert
