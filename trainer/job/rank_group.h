#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "trainer/comm/communicator.h"
#include "trainer/data/loader.h"

namespace tunesmith::trainer {

// What the ranks of a job agree on between steps. Every rank makes the same calls.
class RankGroup {
 public:
  // `comm` is borrowed; null: the job has one rank, and nothing is asked of anybody.
  explicit RankGroup(Communicator* comm) : comm_(comm) {}

  int64_t rank() const { return comm_ == nullptr ? 0 : comm_->rank(); }
  int64_t size() const { return comm_ == nullptr ? 1 : comm_->size(); }
  // Which rank writes files and reports.
  bool is_first() const { return rank() == 0; }
  RankShare share() const { return {rank(), size()}; }

  // Whether `flag` is set on any rank.
  absl::StatusOr<bool> Any(bool flag);
  // The sums over all ranks, exact for counts below 2^53.
  absl::StatusOr<int64_t> Sum(int64_t count);
  absl::StatusOr<double> Sum(double value);
  // The first rank's number.
  absl::StatusOr<int64_t> FromFirst(int64_t number);
  // Returns when all ranks have come.
  absl::Status Meet();

 private:
  Communicator* comm_;
};

}  // namespace tunesmith::trainer
