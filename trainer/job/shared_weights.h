#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "trainer/job/session.h"

// The first rank writes results; where the ranks share the weights between them, reading one takes all of them. So the first rank says which weight it wants
// next, in whatever order its files need, and the others follow until it says that it is done.
namespace tunesmith::trainer {

// On the first rank: Session::ReadWeight.
absl::StatusOr<std::vector<float>> ReadSharedWeight(Session& session, const std::string& name);
absl::Status ReadSharedWeight(Session& session, const std::string& name, absl::Span<float> out);
absl::Status EndSharedReads(Session& session);

// On every other rank, while the first reads.
absl::Status FollowSharedReads(Session& session);

}  // namespace tunesmith::trainer
