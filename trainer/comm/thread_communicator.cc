#include "trainer/comm/thread_communicator.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "trainer/comm/rank_sum.h"

namespace tunesmith::trainer {
namespace {

// How often a rank looks for the others before it sleeps. Ranks come within microseconds of each other, mostly, and waking a thread takes tens of them;
// more would take the processor from ranks that share it.
constexpr int kSpinCount = 1000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// What a rank does, and where its memory is: read by the others.
struct Call {
  const char* name = "";
  int64_t bytes = 0;
  const void* in = nullptr;
  void* out = nullptr;
  int64_t group_size = 0;  // 0: all
};

bool Agree(const Call& a, const Call& b) {
  return std::string_view(a.name) == b.name && a.bytes == b.bytes && a.group_size == b.group_size;
}

std::string Text(const Call& call) {
  const std::string groups = call.group_size == 0 ? "" : StrCat(" in groups of ", call.group_size);
  return StrCat(call.name, "(", call.bytes, " bytes", groups, ")");
}

// What the ranks share: a table of calls, and a meeting point.
class Meeting {
 public:
  Meeting(int64_t size, std::chrono::milliseconds time_limit)
      : calls_(static_cast<size_t>(size)),
        has_come_(static_cast<size_t>(size)),
        time_limit_(time_limit) {}

  // Of the rank that published it last. Valid between two meetings.
  const Call& CallOf(int64_t rank) const { return calls_[static_cast<size_t>(rank)]; }

  // Publishes a call and waits for those of all ranks.
  absl::Status Open(int64_t rank, const Call& call) {
    calls_[static_cast<size_t>(rank)] = call;  // published by the mutex within Meet
    TUNESMITH_RETURN_IF_ERROR(Meet(rank, call.name));
    for (int64_t other = 0; other < size(); ++other) {
      if (Agree(CallOf(other), call)) continue;
      return End(absl::InternalError(StrCat("rank ", rank, " calls ", Text(call), ", rank ", other,
                                            " calls ", Text(CallOf(other)))));
    }
    return absl::OkStatus();
  }

  // Returns when every rank has come; on all of them OK, or on none.
  absl::Status Meet(int64_t rank, const char* name) {
    std::unique_lock lock(mutex_);
    if (!ended_.ok()) return ended_;
    const int64_t number = met_count_.load();
    if (Come(rank)) return absl::OkStatus();
    SpinUntilMet(number, lock);
    const bool in_time = wake_.wait_for(
        lock, time_limit_, [&] { return met_count_.load() != number || !ended_.ok(); });
    if (met_count_.load() != number) return absl::OkStatus();
    if (!in_time) EndLocked(absl::DeadlineExceededError(AbsentRanks(name)));
    return ended_;
  }

  // Meets after a successful Open. The job may have ended meanwhile, but others still read this rank's memory: all are waited for, and all will come.
  void Close(int64_t rank) {
    std::unique_lock lock(mutex_);
    const int64_t number = met_count_.load();
    if (Come(rank)) return;
    SpinUntilMet(number, lock);
    wake_.wait(lock, [&] { return met_count_.load() != number; });
  }

  // The first end counts; returns it.
  absl::Status End(absl::Status status) {
    std::lock_guard lock(mutex_);
    EndLocked(std::move(status));
    return ended_;
  }

 private:
  int64_t size() const { return static_cast<int64_t>(calls_.size()); }

  // True for the last rank, which lets the others go.
  bool Come(int64_t rank) {
    has_come_[static_cast<size_t>(rank)] = true;
    if (++come_count_ < size()) return false;
    come_count_ = 0;
    std::fill(has_come_.begin(), has_come_.end(), false);
    met_count_.fetch_add(1);
    wake_.notify_all();
    return true;
  }

  void SpinUntilMet(int64_t number, std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    for (int i = 0; i < kSpinCount && met_count_.load() == number; ++i) Pause();
    lock.lock();
  }

  void EndLocked(absl::Status status) {
    if (ended_.ok()) ended_ = std::move(status);
    wake_.notify_all();
  }

  std::string AbsentRanks(const char* name) const {
    std::vector<std::string> absent;
    for (size_t rank = 0; rank < has_come_.size(); ++rank) {
      if (!has_come_[rank]) absent.push_back(StrCat("rank ", rank));
    }
    return StrCat("no sign of ", StrJoin(absent, ", "), " in ",
                  std::chrono::duration<double>(time_limit_).count(), " s (waiting in ", name, ")");
  }

  std::vector<Call> calls_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<bool> has_come_;  // since the last meeting
  int64_t come_count_ = 0;
  std::atomic<int64_t> met_count_ = 0;  // written under mutex_
  absl::Status ended_;
  const std::chrono::milliseconds time_limit_;
};

const char* At(const void* base, int64_t offset) { return static_cast<const char*>(base) + offset; }
char* At(void* base, int64_t offset) { return static_cast<char*>(base) + offset; }

void Copy(const void* from, void* to, int64_t bytes) {
  if (from != to && bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(int64_t rank, int64_t size, std::shared_ptr<Meeting> meeting)
      : Communicator(rank, size),
        meeting_(std::move(meeting)),
        sources_(static_cast<size_t>(size)) {}

  absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) override {
    const Call call{"AllGather", shard_bytes, shard, whole};
    return Collect(call, [&] {
      ForEachRank(size(), [&](int64_t other) {
        Copy(meeting_->CallOf(other).in, At(whole, other * shard_bytes), shard_bytes);
      });
    });
  }

  absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                             bool accumulate) override {
    TUNESMITH_RETURN_IF_ERROR(CheckSummed(dtype));
    const int64_t shard_bytes = shard_count * SizeOf(dtype);
    return Collect({"ReduceScatter", shard_bytes, whole, shard}, [&] {
      SumRanks(PlacesAt(rank() * shard_bytes), shard, shard_count, dtype, accumulate);
    });
  }

  absl::Status AllReduce(void* data, int64_t count, DType dtype) override {
    TUNESMITH_RETURN_IF_ERROR(CheckSummed(dtype));
    const int64_t element_bytes = SizeOf(dtype);
    const int64_t most = (count + size() - 1) / size();
    const auto begin = [&](int64_t r) { return std::min(count, r * most); };
    const auto length = [&](int64_t r) { return begin(r + 1) - begin(r); };
    const Call call{"AllReduce", count * element_bytes, data, data};
    // Nobody else reads or writes what a rank sums up in place: its part of its own data.
    TUNESMITH_RETURN_IF_ERROR(Collect(call, [&] {
      const int64_t offset = begin(rank()) * element_bytes;
      SumRanks(PlacesAt(offset), At(data, offset), length(rank()), dtype, false);
    }));
    return Collect(call, [&] {
      ForEachRank(size(), [&](int64_t other) {
        const int64_t offset = begin(other) * element_bytes;
        Copy(At(meeting_->CallOf(other).in, offset), At(data, offset),
             length(other) * element_bytes);
      });
    });
  }

  absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                        int64_t group_size) override {
    TUNESMITH_RETURN_IF_ERROR(CheckGroup(group_size));
    const int64_t place = rank() % group_size, first = rank() - place;
    return Collect({"AllToAll", bytes_per_rank, in, out, group_size}, [&] {
      ForEachRank(group_size, [&](int64_t other) {
        Copy(At(meeting_->CallOf(other).in, place * bytes_per_rank),
             At(out, (other - first) * bytes_per_rank), bytes_per_rank);
      });
    });
  }

  absl::Status Broadcast(void* data, int64_t bytes, int64_t root) override {
    TUNESMITH_RETURN_IF_ERROR(CheckRoot(root));
    return Collect({"Broadcast", bytes, data, data},
                   [&] { Copy(meeting_->CallOf(root).in, data, bytes); });
  }

  absl::Status Barrier() override {
    return Collect({.name = "Barrier"}, [] {});
  }

  void Abort(std::string_view reason) override { (void)meeting_->End(AbortedBy(rank(), reason)); }

 private:
  // `work` may read what every rank has published, and others read what this one has, until all have done theirs.
  template <typename Work>
  absl::Status Collect(const Call& call, Work work) {
    TUNESMITH_RETURN_IF_ERROR(meeting_->Open(rank(), call));
    work();
    meeting_->Close(rank());
    return absl::OkStatus();
  }

  // Of this rank's group of so many. Each rank begins with another one, so that they do not all read the same memory.
  template <typename Visit>
  void ForEachRank(int64_t group_size, Visit visit) const {
    const int64_t place = rank() % group_size, first = rank() - place;
    for (int64_t i = 0; i < group_size; ++i) visit(first + (place + i) % group_size);
  }

  absl::Span<const void* const> PlacesAt(int64_t offset) {
    for (int64_t other = 0; other < size(); ++other)
      sources_[static_cast<size_t>(other)] = At(meeting_->CallOf(other).in, offset);
    return sources_;
  }

  std::shared_ptr<Meeting> meeting_;
  std::vector<const void*> sources_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> MakeThreadCommunicators(
    int64_t size, std::chrono::milliseconds time_limit) {
  const auto meeting = std::make_shared<Meeting>(size, time_limit);
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int64_t rank = 0; rank < size; ++rank)
    communicators.push_back(std::make_unique<ThreadCommunicator>(rank, size, meeting));
  return communicators;
}

}  // namespace tunesmith::trainer
