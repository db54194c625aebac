#include "trainer/comm/local_communicator.h"

#include <cstring>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/comm/rank_sum.h"

namespace tunesmith::trainer {
namespace {

void Copy(const void* from, void* to, int64_t bytes) {
  if (from != to) std::memcpy(to, from, static_cast<size_t>(bytes));
}

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator() : Communicator(0, 1) {}

  absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) override {
    if (ended_.ok()) Copy(shard, whole, shard_bytes);
    return ended_;
  }

  absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                             bool accumulate) override {
    TUNESMITH_RETURN_IF_ERROR(CheckSummed(dtype));
    if (ended_.ok()) SumRanks({whole}, shard, shard_count, dtype, accumulate);
    return ended_;
  }

  absl::Status AllReduce(void*, int64_t, DType dtype) override {
    TUNESMITH_RETURN_IF_ERROR(CheckSummed(dtype));
    return ended_;
  }

  absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                        int64_t group_size) override {
    TUNESMITH_RETURN_IF_ERROR(CheckGroup(group_size));
    if (ended_.ok()) Copy(in, out, bytes_per_rank);
    return ended_;
  }

  absl::Status Broadcast(void*, int64_t, int64_t root) override {
    TUNESMITH_RETURN_IF_ERROR(CheckRoot(root));
    return ended_;
  }

  absl::Status Barrier() override { return ended_; }

  void Abort(std::string_view reason) override {
    if (ended_.ok()) ended_ = AbortedBy(0, reason);
  }

 private:
  absl::Status ended_;
};

}  // namespace

std::unique_ptr<Communicator> MakeLocalCommunicator() {
  return std::make_unique<LocalCommunicator>();
}

}  // namespace tunesmith::trainer
