#include "trainer/job/rank_group.h"

#include <cmath>

#include "common/status_macros.h"

namespace tunesmith::trainer {

absl::StatusOr<double> RankGroup::Sum(double value) {
  if (comm_ != nullptr) TUNESMITH_RETURN_IF_ERROR(comm_->AllReduce(&value, 1, DType::kF64));
  return value;
}

absl::StatusOr<int64_t> RankGroup::SumOfShares(int64_t count) {
  TUNESMITH_ASSIGN_OR_RETURN(const double sum, Sum(static_cast<double>(count)));
  return std::llround(sum) / sequence_parallel_;
}

absl::StatusOr<bool> RankGroup::Any(bool flag) {
  TUNESMITH_ASSIGN_OR_RETURN(const double count, Sum(flag ? 1.0 : 0.0));
  return count > 0;
}

absl::StatusOr<int64_t> RankGroup::FromFirst(int64_t number) {
  if (comm_ != nullptr) TUNESMITH_RETURN_IF_ERROR(comm_->Broadcast(&number, sizeof number, 0));
  return number;
}

absl::Status RankGroup::Meet() { return comm_ == nullptr ? absl::OkStatus() : comm_->Barrier(); }

}  // namespace tunesmith::trainer
