#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.pb.h"

// Checks of JobService's requests that go beyond reading the store.
namespace tunesmith::server {

// The request with defaults filled in (device, training), ready for the store. Errors as jobs.proto
// states them for CreateJob, and INVALID_ARGUMENT for paths that do not exist on this host.
absl::StatusOr<v1::CreateJobRequest> CheckCreateJob(v1::CreateJobRequest request);

// A page of ListJobs. INVALID_ARGUMENT as jobs.proto states.
absl::StatusOr<v1::ListJobsResponse> ListJobsPage(Store& store, const v1::ListJobsRequest& request);

}  // namespace tunesmith::server
