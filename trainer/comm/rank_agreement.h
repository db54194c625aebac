#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// Something that must be the same on every rank.
struct RankFact {
  std::string name;   // for the message: "plan digest"
  std::string value;  // at most 127 characters of it are compared
};

// Every rank must call this with as many facts. FAILED_PRECONDITION, on every rank, names what differs, the ranks and their values.
absl::Status CheckRanksAgree(Communicator& communicator, absl::Span<const RankFact> facts);

}  // namespace tunesmith::trainer
