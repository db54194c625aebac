#include "trainer/comm/message_communicator.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "trainer/comm/message_channel.h"
#include "trainer/comm/peer_processes.h"
#include "trainer/comm/rank_sum.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kScratchBytes = int64_t{8} << 20;
constexpr int64_t kSmallestPieceBytes = 4096;

const char* At(const void* base, int64_t offset) { return static_cast<const char*>(base) + offset; }
char* At(void* base, int64_t offset) { return static_cast<char*>(base) + offset; }

void Copy(const void* from, void* to, int64_t bytes) {
  if (from != to && bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

// `count` bytes or elements, cut into a part for each rank: equal ones, but for the last.
struct Parts {
  int64_t count = 0;
  int64_t largest = 0;

  int64_t Begin(int64_t rank) const { return std::min(count, rank * largest); }
  int64_t Length(int64_t rank) const { return Begin(rank + 1) - Begin(rank); }
  // What the part of `rank` has of the elements `offset` to `offset + most` of a part.
  int64_t LengthWithin(int64_t rank, int64_t offset, int64_t most) const {
    return std::clamp<int64_t>(Length(rank) - offset, 0, most);
  }
};

class MessageCommunicator final : public Communicator {
 public:
  MessageCommunicator(std::unique_ptr<MessageTransport> transport, int64_t rank, int64_t size,
                      const TimeLimits& limits)
      : Communicator(rank, size),
        channel_(std::move(transport), rank, size, limits.start),
        // Pieces of bf16, f32 and f64 alike begin at whole elements.
        piece_bytes_(
            std::max(kSmallestPieceBytes, kScratchBytes / std::max<int64_t>(1, size) / 64 * 64)),
        scratch_(static_cast<size_t>(piece_bytes_ * (size - 1))),
        sources_(static_cast<size_t>(size)) {}

  absl::Status Join(const TimeLimits& limits) {
    const ProcessIdentity self = ThisProcess();
    std::vector<ProcessIdentity> all(static_cast<size_t>(size()));
    TUNESMITH_RETURN_IF_ERROR(GatherParts(
        &self, all.data(), Whole(static_cast<int64_t>(sizeof self)), 1, "the start of all ranks"));
    channel_.Watch(all);
    channel_.set_time_limit(limits.call);
    return absl::OkStatus();
  }

  absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) override {
    return GatherParts(shard, whole, Whole(shard_bytes), 1, "AllGather");
  }

  absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                             bool accumulate) override {
    TUNESMITH_RETURN_IF_ERROR(CheckSummed(dtype));
    return ReduceParts(whole, shard, Whole(shard_count), dtype, accumulate, "ReduceScatter");
  }

  absl::Status AllReduce(void* data, int64_t count, DType dtype) override {
    TUNESMITH_RETURN_IF_ERROR(CheckSummed(dtype));
    const Parts parts{count, (count + size() - 1) / size()};
    char* own = At(data, parts.Begin(rank()) * SizeOf(dtype));
    TUNESMITH_RETURN_IF_ERROR(ReduceParts(data, own, parts, dtype, false, "AllReduce"));
    return GatherParts(own, data, parts, SizeOf(dtype), "AllReduce");
  }

  absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                        int64_t group_size) override {
    TUNESMITH_RETURN_IF_ERROR(CheckGroup(group_size));
    const int64_t place = rank() % group_size, first = rank() - place;
    Copy(At(in, place * bytes_per_rank), At(out, place * bytes_per_rank), bytes_per_rank);
    ForEachPair(group_size, [&](int64_t to, int64_t from) {
      channel_.Receive(from, At(out, (from - first) * bytes_per_rank), bytes_per_rank);
      channel_.Send(to, At(in, (to - first) * bytes_per_rank), bytes_per_rank);
    });
    return channel_.WaitForAll("AllToAll");
  }

  absl::Status Broadcast(void* data, int64_t bytes, int64_t root) override {
    TUNESMITH_RETURN_IF_ERROR(CheckRoot(root));
    if (rank() != root) channel_.Receive(root, data, bytes);
    for (int64_t peer = 0; rank() == root && peer < size(); ++peer) {
      if (peer != root) channel_.Send(peer, data, bytes);
    }
    return channel_.WaitForAll("Broadcast");
  }

  // After round i every rank has heard, through others, of the 2^i ranks before it.
  absl::Status Barrier() override {
    TUNESMITH_RETURN_IF_ERROR(channel_.ended());
    for (int64_t distance = 1; distance < size(); distance *= 2) {
      char sign = 0, others_sign = 0;
      channel_.Receive((rank() - distance + size()) % size(), &others_sign, 1);
      channel_.Send((rank() + distance) % size(), &sign, 1);
      TUNESMITH_RETURN_IF_ERROR(channel_.WaitForAll("Barrier"));
    }
    return absl::OkStatus();
  }

  void Abort(std::string_view reason) override { (void)channel_.End(AbortedBy(rank(), reason)); }

 private:
  Parts Whole(int64_t shard_count) const { return {size() * shard_count, shard_count}; }

  // Within this rank's group of so many: visit(rank to send to, rank to receive from), such that no rank is sent to by all at once.
  template <typename Visit>
  void ForEachPair(int64_t group_size, Visit visit) const {
    const int64_t place = rank() % group_size, first = rank() - place;
    for (int64_t i = 1; i < group_size; ++i)
      visit(first + (place + i) % group_size, first + (place - i + group_size) % group_size);
  }

  // `whole` = the ranks' parts, of which this rank's is `part`.
  absl::Status GatherParts(const void* part, void* whole, const Parts& parts, int64_t element_bytes,
                           const char* name) {
    const auto place = [&](int64_t r) { return At(whole, parts.Begin(r) * element_bytes); };
    const auto bytes = [&](int64_t r) { return parts.Length(r) * element_bytes; };
    Copy(part, place(rank()), bytes(rank()));
    ForEachPair(size(), [&](int64_t to, int64_t from) {
      channel_.Receive(from, place(from), bytes(from));
      channel_.Send(to, part, bytes(rank()));
    });
    return channel_.WaitForAll(name);
  }

  // `part` = the sum of this rank's part of all ranks' `whole`s, a piece at a time.
  absl::Status ReduceParts(const void* whole, void* part, const Parts& parts, DType dtype,
                           bool accumulate, const char* name) {
    TUNESMITH_RETURN_IF_ERROR(channel_.ended());
    const int64_t element_bytes = SizeOf(dtype), piece = piece_bytes_ / element_bytes;
    for (int64_t offset = 0; offset < parts.largest; offset += piece) {
      const int64_t length = parts.LengthWithin(rank(), offset, piece);
      const auto place = [&](int64_t r) {
        return At(whole, (parts.Begin(r) + offset) * element_bytes);
      };
      ForEachPair(size(), [&](int64_t to, int64_t from) {
        channel_.Receive(from, Slot(from), length * element_bytes);
        channel_.Send(to, place(to), parts.LengthWithin(to, offset, piece) * element_bytes);
      });
      TUNESMITH_RETURN_IF_ERROR(channel_.WaitForAll(name));
      for (int64_t r = 0; r < size(); ++r)
        sources_[static_cast<size_t>(r)] = r == rank() ? place(r) : Slot(r);
      SumRanks(sources_, At(part, offset * element_bytes), length, dtype, accumulate);
    }
    return absl::OkStatus();
  }

  // Where pieces of another rank come.
  char* Slot(int64_t other) {
    return scratch_.data() + (other < rank() ? other : other - 1) * piece_bytes_;
  }

  MessageChannel channel_;
  const int64_t piece_bytes_;
  std::vector<char> scratch_;
  std::vector<const void*> sources_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeMessageCommunicator(
    std::unique_ptr<MessageTransport> transport, int64_t rank, int64_t size,
    const TimeLimits& limits) {
  auto communicator =
      std::make_unique<MessageCommunicator>(std::move(transport), rank, size, limits);
  TUNESMITH_RETURN_IF_ERROR(communicator->Join(limits));
  return communicator;
}

}  // namespace tunesmith::trainer
