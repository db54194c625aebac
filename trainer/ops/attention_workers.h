#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/program/op.h"
#include "trainer/ops/alibi.h"
#include "trainer/ops/attention.h"

// What the two CPU attention kernels share: what a query sees, the order of their work, and the turns
// in which they add to the gradients of a key/value head.
namespace tunesmith::trainer::cpu {

// One query head of one row.
struct HeadItem {
  int64_t b = 0;      // row
  int64_t h = 0;      // query head
  int64_t kv = 0;     // key/value head
  int64_t group = 0;  // h's index among the query heads of kv
};

// Items in [0, B * H), ordered so that heads that share a key/value head lie B * K apart: threads
// seldom wait for their turn.
inline HeadItem HeadOfItem(const AttentionShape& shape, int64_t item, int64_t B) {
  const int64_t K = shape.kv_head_count, groups = shape.head_count / K;
  const int64_t pair = item % (B * K), group = item / (B * K);
  return {.b = pair / K, .h = pair % K * groups + group, .kv = pair % K, .group = group};
}

// The first key that query i of a row sees; the last is i.
inline int64_t FirstVisibleKey(const AttentionShape& shape, const int32_t* document_starts,
                               int64_t i) {
  const int64_t first = document_starts[i];
  return shape.window > 0 ? std::max(first, i - shape.window + 1) : first;
}

// By which a score of query head `h` falls with the distance of its key.
template <typename T>
T SlopeOf(const AttentionShape& shape, int64_t h) {
  return static_cast<T>(shape.alibi_factor *
                        AlibiSlope(HeadOfAll(shape, h), AllHeadCount(shape), shape.alibi_bias_max));
}

// Turns by which items add to sums that they share, so that the sums do not depend on the threads: each sum is added to in turn 0, 1, 2 and so on.
// REQUIRES: an item waits only for turns of items that were started before it.
class Turns {
 public:
  explicit Turns(int64_t sum_count) : turns_done_(sum_count) {}

  // Until all turns before `turn` are done.
  void Wait(int64_t sum, int64_t turn) const {
    while (turns_done_[sum].load(std::memory_order_acquire) < turn) std::this_thread::yield();
  }

  void Finish(int64_t sum, int64_t turn) {
    turns_done_[sum].store(static_cast<int32_t>(turn + 1), std::memory_order_release);
  }

 private:
  std::vector<std::atomic<int32_t>> turns_done_;
};

// INVALID_ARGUMENT names the first token whose document would start after it or before its row.
absl::Status CheckDocumentStarts(planner::OpKind op, const Tensor& document_starts,
                                 int64_t context);

// How many workers a workspace serves, less the elements that are `shared` by all; INVALID_ARGUMENT
// when it has another dtype or serves none.
absl::StatusOr<int> WorkerCount(planner::OpKind op, const Tensor& workspace, DType dtype,
                                int64_t worker_elements, int64_t shared_elements = 0);

}  // namespace tunesmith::trainer::cpu
