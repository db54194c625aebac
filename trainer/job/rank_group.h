#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "trainer/comm/communicator.h"
#include "trainer/data/loader.h"

namespace tunesmith::trainer {

// What the ranks of a job agree on between steps. Every rank makes the same calls.
class RankGroup {
 public:
  // `comm` is borrowed; null: the job has one rank, and nothing is asked of anybody. So many ranks that follow one another compute a micro-batch together.
  RankGroup(Communicator* comm, int64_t sequence_parallel)
      : comm_(comm), sequence_parallel_(sequence_parallel) {}

  int64_t rank() const { return comm_ == nullptr ? 0 : comm_->rank(); }
  int64_t size() const { return comm_ == nullptr ? 1 : comm_->size(); }
  // Which rank writes files and reports.
  bool is_first() const { return rank() == 0; }
  // Of the rows: ranks of one micro-batch read the same.
  RankShare share() const { return {rank() / sequence_parallel_, size() / sequence_parallel_}; }

  // Whether `flag` is set on any rank.
  absl::StatusOr<bool> Any(bool flag);
  // The sum over the shares: what the ranks of a micro-batch all have read counts once. Exact below 2^53.
  absl::StatusOr<int64_t> SumOfShares(int64_t count);
  // The first rank's number.
  absl::StatusOr<int64_t> FromFirst(int64_t number);
  // Returns when all ranks have come.
  absl::Status Meet();

 private:
  absl::StatusOr<double> Sum(double value);

  Communicator* comm_;
  int64_t sequence_parallel_;
};

}  // namespace tunesmith::trainer
