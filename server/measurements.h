#pragma once

#include "absl/status/statusor.h"
#include "server/drift.h"
#include "server/store.h"
#include "tunesmith/v1/measurements.pb.h"

// What jobs really took, beside what was predicted. Errors as measurements.proto states them.
// Thread-safe.
namespace tunesmith::server {

// `drift` learns of it.
absl::StatusOr<v1::ReportMeasurementResponse> ReportMeasurement(
    Store& store, Drift& drift, const v1::ReportMeasurementRequest& request);

absl::StatusOr<v1::ListMeasurementsResponse> ListMeasurements(
    Store& store, const v1::ListMeasurementsRequest& request);

// Stores what a job that SUCCEEDED says of itself; once, however often it is called.
absl::Status ReportOwnMeasurement(Store& store, Drift& drift, const v1::Job& job);

// What a job must be told whose steps left the interval that its plan predicted; else empty.
std::string StepWarningOf(const v1::Plan& plan, const v1::Finished& summary);

}  // namespace tunesmith::server
