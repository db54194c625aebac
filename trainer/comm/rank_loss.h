#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace tunesmith::trainer {

// UNAVAILABLE, marked: a rank of another host is gone, which is no fault of this job; started again, it may well go on.
absl::Status RankLossError(std::string_view text);
bool IsRankLoss(const absl::Status& status);

}  // namespace tunesmith::trainer
