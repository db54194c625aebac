#include "trainer/comm/rank_loss.h"

#include <string>

#include "absl/strings/cord.h"

namespace tunesmith::trainer {
namespace {

constexpr char kMark[] = "tunesmith/rank-loss";

}  // namespace

absl::Status RankLossError(std::string_view text) {
  absl::Status status = absl::UnavailableError(std::string(text));
  status.SetPayload(kMark, absl::Cord());
  return status;
}

bool IsRankLoss(const absl::Status& status) { return status.GetPayload(kMark).has_value(); }

}  // namespace tunesmith::trainer
