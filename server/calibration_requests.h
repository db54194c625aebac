#pragma once

#include "absl/status/statusor.h"
#include "planner/price/calibration.h"
#include "server/catalog.h"
#include "server/security/path_roots.h"
#include "tunesmith/v1/calibrations.pb.h"

// Checks of what CalibrationService is asked. Errors as calibrations.proto states them.
namespace tunesmith::server {

// The spec with its defaults filled in; a model that is a path lies below the roots, where these confine, and is where it leads.
absl::StatusOr<v1::CalibrationSpec> CheckStart(const v1::StartCalibrationRequest& request,
                                               const Catalog& catalog, const PathRoots& roots);

// The calibration, which may be put into use on this host.
absl::StatusOr<planner::Calibration> CheckImport(const v1::ImportCalibrationRequest& request,
                                                 const Catalog& catalog);

}  // namespace tunesmith::server
