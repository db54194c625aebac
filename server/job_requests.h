#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/convert/violations.h"
#include "server/launch/launcher.h"
#include "server/security/path_roots.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.pb.h"

// Checks of JobService's requests that go beyond reading the store.
namespace tunesmith::server {

inline constexpr int64_t kMaxPageSize = 1000;

// What a request asks for: a job that the store can take (with spec, plan, launcher and claim), and
// who would run it.
struct CheckedJob {
  v1::Job job;
  Launcher* launcher = nullptr;
};

// The request with defaults filled in (device, training) and paths as ConfinePaths leaves them. Errors
// as jobs.proto states them for CreateJob, and INVALID_ARGUMENT for paths that do not exist on this
// host or lie outside of its roots. REQUIRES: there is a launcher; the first is the default.
absl::StatusOr<CheckedJob> CheckCreateJob(const v1::CreateJobRequest& request,
                                          const std::vector<Launcher*>& launchers,
                                          const PathRoots& roots = {});

// At most 36 printable ASCII characters, or a violation of `field`.
void CheckRequestId(std::string_view field, const std::string& id, convert::Violations& violations);

// How many a page holds that was asked to hold `asked`; negative ones are violations.
int64_t PageSize(int64_t asked, convert::Violations& violations);

// A page token is for one query: "<fingerprint of the query>.<id>", the page goes on below that id.
std::string PageToken(const std::string& query, int64_t id);

// The id that a page goes on below; 0 for an empty token; a violation for one of another query.
int64_t BeforeId(const std::string& query, const std::string& token,
                 convert::Violations& violations);

// A page of ListJobs. INVALID_ARGUMENT as jobs.proto states.
absl::StatusOr<v1::ListJobsResponse> ListJobsPage(Store& store, const v1::ListJobsRequest& request);

}  // namespace tunesmith::server
