#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/program/op.h"
#include "trainer/ops/attention.h"

// What the two CPU attention kernels share: the order of their work and the turns in which query
// heads add to the gradients of the key/value head that they share.
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

// Turns by which the query heads of a key/value head add to its gradients, in the order of `group`,
// step by step, so that the sums do not depend on the threads. Items are started in increasing
// order, so the head that is waited for is always running.
class HeadTurns {
 public:
  HeadTurns(const AttentionShape& shape, int64_t B)
      : distance_(B * shape.kv_head_count), steps_done_(B * shape.head_count) {}

  // Until the head before `item`'s in its group has finished `step`.
  void Wait(int64_t item, int64_t step) const {
    if (item < distance_) return;
    while (steps_done_[item - distance_].load(std::memory_order_acquire) <= step) {
      std::this_thread::yield();
    }
  }

  void Finish(int64_t item, int64_t step) {
    steps_done_[item].store(static_cast<int32_t>(step + 1), std::memory_order_release);
  }

 private:
  int64_t distance_;
  std::vector<std::atomic<int32_t>> steps_done_;
};

// INVALID_ARGUMENT names the first token whose document would start after it or before its row.
absl::Status CheckDocumentStarts(planner::OpKind op, const Tensor& document_starts,
                                 int64_t context);

// How many workers a workspace serves; INVALID_ARGUMENT when it has another dtype or serves none.
absl::StatusOr<int> WorkerCount(planner::OpKind op, const Tensor& workspace, DType dtype,
                                int64_t worker_elements);

}  // namespace tunesmith::trainer::cpu
