#pragma once

#include "absl/status/status.h"
#include "planner/price/calibration.h"

namespace tunesmith::planner {

// What is asked of a calibration that comes from elsewhere, beyond ValidateCalibration: an id that can be the name of a file, only kinds of ops that
// this version has, and tables as the profiler writes them, with the entries of a kind together and their sizes ascending. INVALID_ARGUMENT naming every entry that is otherwise: a table
// that somebody has put together or cut by hand.
absl::Status ValidateImportedCalibration(const Calibration& calibration);

}  // namespace tunesmith::planner
