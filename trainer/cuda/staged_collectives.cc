#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include "common/status_macros.h"
#include "common/units.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/device_collectives.h"
#include "trainer/cuda/device_memory_cuda.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kStagingBytes = 64 * kMiB;
constexpr int64_t kPartAlignmentBytes = 256;

std::byte* At(const void* data, int64_t offset_bytes) {
  return static_cast<std::byte*>(const_cast<void*>(data)) + offset_bytes;
}

// `count` rows of `width_bytes` each, which begin `pitch_bytes` apart.
struct Rows {
  std::byte* data;
  int64_t pitch_bytes;
};

class StagedCollectives final : public Collectives {
 public:
  StagedCollectives(CudaContext& cuda, Communicator& ranks, std::unique_ptr<DeviceMemory> staging)
      : Collectives(ranks.rank(), ranks.size()),
        cuda_(cuda),
        ranks_(ranks),
        staging_(std::move(staging)) {}
  // What is queued uses all three.
  ~StagedCollectives() override { (void)cuda_.Synchronize(); }

  absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) override {
    return ForParts(shard_bytes, size() + 1, [&](int64_t begin, int64_t bytes) -> absl::Status {
      std::byte *all = staging_->data(), *own = all + size() * bytes;
      TUNESMITH_RETURN_IF_ERROR(Copy(At(shard, begin), own, bytes));
      TUNESMITH_RETURN_IF_ERROR(
          Exchange([this, own, all, bytes] { return ranks_.AllGather(own, all, bytes); }));
      return CopyRows({all, bytes}, {At(whole, begin), shard_bytes}, bytes, size());
    });
  }

  absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                             bool accumulate) override {
    const int64_t shard_bytes = shard_count * SizeOf(dtype);
    return ForParts(shard_bytes, size() + 1, [&](int64_t begin, int64_t bytes) -> absl::Status {
      std::byte *all = staging_->data(), *own = all + size() * bytes;
      TUNESMITH_RETURN_IF_ERROR(
          CopyRows({At(whole, begin), shard_bytes}, {all, bytes}, bytes, size()));
      if (accumulate) TUNESMITH_RETURN_IF_ERROR(Copy(At(shard, begin), own, bytes));
      TUNESMITH_RETURN_IF_ERROR(Exchange([this, all, own, bytes, dtype, accumulate] {
        return ranks_.ReduceScatter(all, own, bytes / SizeOf(dtype), dtype, accumulate);
      }));
      return Copy(own, At(shard, begin), bytes);
    });
  }

  absl::Status AllReduce(void* data, int64_t count, DType dtype) override {
    return ForParts(count * SizeOf(dtype), 1, [&](int64_t begin, int64_t bytes) -> absl::Status {
      std::byte* part = staging_->data();
      TUNESMITH_RETURN_IF_ERROR(Copy(At(data, begin), part, bytes));
      TUNESMITH_RETURN_IF_ERROR(Exchange([this, part, bytes, dtype] {
        return ranks_.AllReduce(part, bytes / SizeOf(dtype), dtype);
      }));
      return Copy(part, At(data, begin), bytes);
    });
  }

  absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                        int64_t group_size) override {
    TUNESMITH_RETURN_IF_ERROR(CheckGroup(group_size));
    return ForParts(
        bytes_per_rank, 2 * group_size, [&](int64_t begin, int64_t bytes) -> absl::Status {
          std::byte *sent = staging_->data(), *received = sent + group_size * bytes;
          TUNESMITH_RETURN_IF_ERROR(
              CopyRows({At(in, begin), bytes_per_rank}, {sent, bytes}, bytes, group_size));
          TUNESMITH_RETURN_IF_ERROR(Exchange([this, sent, received, bytes, group_size] {
            return ranks_.AllToAll(sent, received, bytes, group_size);
          }));
          return CopyRows({received, bytes}, {At(out, begin), bytes_per_rank}, bytes, group_size);
        });
  }

 private:
  // run(begin, bytes) for parts of `total_bytes`, of which `slot_count` find room in the staging memory at once.
  template <typename Run>
  absl::Status ForParts(int64_t total_bytes, int64_t slot_count, Run run) {
    const int64_t most =
        staging_->size_bytes() / slot_count / kPartAlignmentBytes * kPartAlignmentBytes;
    for (int64_t begin = 0; begin < total_bytes; begin += most)
      TUNESMITH_RETURN_IF_ERROR(run(begin, std::min(most, total_bytes - begin)));
    return absl::OkStatus();
  }

  absl::Status Copy(const std::byte* from, std::byte* to, int64_t bytes) {
    TUNESMITH_RETURN_IF_ERROR(cuda_.impl().AwaitHostMemory(stream()));
    CUDA_RETURN_IF_ERROR(
        cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream()));
    return absl::OkStatus();
  }

  // One after the other: CUDA's copy of rows takes none that begin more than 2 GiB apart, as the shards of large weights do.
  absl::Status CopyRows(const Rows& from, const Rows& to, int64_t width_bytes, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      TUNESMITH_RETURN_IF_ERROR(
          Copy(from.data + i * from.pitch_bytes, to.data + i * to.pitch_bytes, width_bytes));
    return absl::OkStatus();
  }

  absl::Status Exchange(std::function<absl::Status()> call) {
    return cuda_.RunOnHost(StreamKind::kCommunication, std::move(call));
  }

  cudaStream_t stream() { return cuda_.impl().StreamOf(StreamKind::kCommunication); }

  CudaContext& cuda_;
  Communicator& ranks_;
  // One part after the other: the stream orders them.
  std::unique_ptr<DeviceMemory> staging_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Collectives>> MakeStagedCollectives(CudaContext& cuda,
                                                                   Communicator& ranks) {
  TUNESMITH_ASSIGN_OR_RETURN(auto staging, AllocatePinnedMemory(cuda, kStagingBytes));
  return std::make_unique<StagedCollectives>(cuda, ranks, std::move(staging));
}

}  // namespace tunesmith::trainer
