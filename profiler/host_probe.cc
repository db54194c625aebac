#include "profiler/host_probe.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/program/op.h"
#include "profiler/run_step.h"
#include "trainer/comm/thread_communicator.h"

namespace tunesmith::profiler {
namespace {

using planner::OpKind;
using trainer::Communicator;

constexpr int kRounds = 3;
// Of an array per processor, there are two: more than a processor's share of the caches, and over all processors no more than a gibibyte.
constexpr int64_t kUncachedBytes = 64 * kMiB;
constexpr int64_t kMostArrayBytes = 1 * kGiB;

int64_t ProcessorCount() { return std::max<int64_t>(1, std::thread::hardware_concurrency()); }

// Runs work(i) on so many threads at once.
template <typename Work>
void Together(int64_t count, const Work& work) {
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

// Reads two and writes one, as an update does with gradients and weights.
void Update(const std::vector<float>& gradient, std::vector<float>& weight) {
  for (size_t i = 0; i < weight.size(); ++i) weight[i] += 1e-3f * gradient[i];
}

// What the ranks of one group need for a collective of `whole_count` floats.
struct Rank {
  std::unique_ptr<Communicator> comm;
  std::vector<float> whole;
  std::vector<float> other;  // a shard, or a second whole
};

absl::Status Speak(OpKind kind, Rank& rank) {
  const int64_t size = rank.comm->size(), count = static_cast<int64_t>(rank.whole.size()),
                shard_count = count / size;
  switch (kind) {
    case OpKind::kAllGather:
      return rank.comm->AllGather(rank.other.data(), rank.whole.data(), 4 * shard_count);
    case OpKind::kReduceScatter:
      return rank.comm->ReduceScatter(rank.whole.data(), rank.other.data(), shard_count,
                                      DType::kF32, false);
    case OpKind::kAllReduce:
      return rank.comm->AllReduce(rank.whole.data(), count, DType::kF32);
    default:
      return rank.comm->AllToAll(rank.whole.data(), rank.other.data(), 4 * shard_count, size);
  }
}

// Median seconds from when all have come to when all have done it, after once to warm up.
absl::StatusOr<double> SecondsOf(OpKind kind, Rank& rank) {
  std::vector<double> seconds;
  for (int round = 0; round <= kRounds; ++round) {
    TUNESMITH_RETURN_IF_ERROR(rank.comm->Barrier());
    const double start = MonotonicSeconds();
    TUNESMITH_RETURN_IF_ERROR(Speak(kind, rank));
    TUNESMITH_RETURN_IF_ERROR(rank.comm->Barrier());
    if (round > 0) seconds.push_back(MonotonicSeconds() - start);
  }
  return Median(seconds);
}

absl::StatusOr<double> MeasureGroup(OpKind kind, int64_t rank_count, int64_t whole_bytes) {
  auto comms = trainer::MakeThreadCommunicators(rank_count, std::chrono::minutes(1));
  std::vector<absl::StatusOr<double>> seconds(static_cast<size_t>(rank_count),
                                              absl::UnknownError("not run"));
  Together(rank_count, [&](int64_t i) {
    const auto count = static_cast<size_t>(whole_bytes / 4);
    Rank rank{.comm = std::move(comms[static_cast<size_t>(i)]),
              .whole = std::vector<float>(count, 1.0f),
              .other = std::vector<float>(count, 0.0f)};
    seconds[static_cast<size_t>(i)] = SecondsOf(kind, rank);
  });
  for (const absl::StatusOr<double>& of_rank : seconds) TUNESMITH_RETURN_IF_ERROR(of_rank.status());
  return *seconds[0];
}

}  // namespace

int64_t ResidentBytes() {
  const std::string text = ReadFile("/proc/self/statm").value_or("");
  const std::vector<std::string_view> fields = StrSplit(text, " ");
  if (fields.size() < 2) return 0;
  return std::strtoll(std::string(fields[1]).c_str(), nullptr, 10) * sysconf(_SC_PAGESIZE);
}

double HostMemoryBytesPerSecond() {
  const int64_t count = ProcessorCount(), bytes = std::min(kUncachedBytes, kMostArrayBytes / count);
  std::vector<double> rates;
  std::vector<std::vector<float>> gradients(static_cast<size_t>(count)), weights = gradients;
  const auto size = static_cast<size_t>(bytes / 4);
  Together(count, [&](int64_t i) {
    gradients[static_cast<size_t>(i)].assign(size, 1.0f);
    weights[static_cast<size_t>(i)].assign(size, 1.0f);
  });
  for (int round = 0; round < kRounds; ++round) {
    const double start = MonotonicSeconds();
    Together(count, [&](int64_t i) {
      Update(gradients[static_cast<size_t>(i)], weights[static_cast<size_t>(i)]);
    });
    rates.push_back(static_cast<double>(3 * bytes * count) / (MonotonicSeconds() - start));
  }
  return Median(rates);
}

absl::Status ProbeCollectives(planner::Calibration& calibration) {
  for (const OpKind kind :
       {OpKind::kAllGather, OpKind::kReduceScatter, OpKind::kAllReduce, OpKind::kAllToAll}) {
    for (const int64_t bytes : {256 * kKiB, 4 * kMiB, 32 * kMiB}) {
      for (const int64_t rank_count : {2, 4}) {
        TUNESMITH_ASSIGN_OR_RETURN(const double seconds, MeasureGroup(kind, rank_count, bytes));
        calibration.rates.push_back({.op_kind = std::string(planner::OpKindName(kind)),
                                     .bytes = bytes,
                                     .bytes_per_second = static_cast<double>(bytes) / seconds,
                                     .rank_count = rank_count});
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::profiler
