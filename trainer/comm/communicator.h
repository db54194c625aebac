#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "common/dtype.h"

namespace tunesmith::trainer {

// Collectives over the ranks of one job. A job has `size` ranks, numbered from 0, which run the same program: every rank makes the same calls in the same order
// with the same sizes.
//
// Vocabulary: the *whole* is what all ranks have together, size() *shards* of equal length one after the other; rank r's shard, and its *own place* in
// the whole, is the r-th.
//
// Sums are taken over ranks 0, 1, 2, ... in this order, in the accumulation type (f32 for bf16 and f32, f64 for f64), and rounded once to the
// elements' type: they are the same bits on every rank, with every backend but NCCL's, and however a sum is made (AllReduce is ReduceScatter and then AllGather).
//
// Errors are the end of the job: after one, every further call returns it. It names the cause, on this and on every other rank: a rank that said
// Abort, one that died, one that did not come within the backend's time limit. INVALID_ARGUMENT: an argument that no rank should have given.
//
// One thread at a time, of one rank; ranks that are threads of one process have one each.
class Collectives {
 public:
  virtual ~Collectives() = default;
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }

  // `whole` (size() x shard_bytes) = the ranks' shards. `shard` is apart from `whole` or at its own place in it.
  virtual absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) = 0;

  // `shard` (shard_count elements of f64, f32 or bf16) = this rank's place in the sum of the ranks' `whole`s (size() x shard_count). `accumulate`: is added
  // to `shard` instead, rounded once after the addition. `shard` is apart from `whole`; without `accumulate` it may be its own place in it. What `whole` has
  // at its own place is unspecified afterwards; otherwise it is left as it was.
  virtual absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                                     bool accumulate) = 0;

  // `data` (count elements of f64, f32 or bf16; any count) = the sum of the ranks' data.
  virtual absl::Status AllReduce(void* data, int64_t count, DType dtype) = 0;

  // Within groups of `group_size` consecutive ranks, each of which does this by itself: sends the r-th of group_size pieces of `in`, of bytes_per_rank each,
  // to the group's r-th rank; `out`, apart from `in`, holds what came from that rank at its place. INVALID_ARGUMENT: group_size does not divide size().
  virtual absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                                int64_t group_size) = 0;

 protected:
  Collectives(int64_t rank, int64_t size) : rank_(rank), size_(size) {}

  // For backends: INVALID_ARGUMENT unless groups of `group_size` are all ranks.
  absl::Status CheckGroup(int64_t group_size) const;

 private:
  const int64_t rank_;
  const int64_t size_;
};

// What the ranks of one job say to each other: collectives on memory of the host, and more. A call returns when this rank may use its results and reuse its
// arguments; the others may still be in it. Nothing here keeps a pointer beyond its call.
class Communicator : public Collectives {
 public:
  // `data` = rank root's. INVALID_ARGUMENT: no such rank.
  virtual absl::Status Broadcast(void* data, int64_t bytes, int64_t root) = 0;

  // Returns when every rank has come.
  virtual absl::Status Barrier() = 0;

  // Ends the job for every rank: their calls, those that wait now included, return ABORTED with this rank's number and `reason`. Does nothing where
  // the job has ended already.
  virtual void Abort(std::string_view reason) = 0;

 protected:
  using Collectives::Collectives;

  // For backends: INVALID_ARGUMENT unless `root` is a rank; what every rank returns once `rank` has said Abort.
  absl::Status CheckRoot(int64_t root) const;
  static absl::Status AbortedBy(int64_t rank, std::string_view reason);
};

}  // namespace tunesmith::trainer
