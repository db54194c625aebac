#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

// What the plan takes in all nodes of a cluster together. FAILED_PRECONDITION: it cannot be asked of one that gives out GPUs and threads itself, which is called
// `cluster` for people.
absl::StatusOr<v1::ResourceClaim> ClusterClaim(std::string_view cluster, const v1::Plan& plan,
                                               const v1::JobSpec& spec);

}  // namespace tunesmith::server
