#include "planner/price/streams.h"

#include <algorithm>
#include <limits>

namespace tunesmith::planner {
namespace {

// Far below any sum of delays, and far enough from the end of the range that sums of two are defined.
constexpr int64_t kNever = std::numeric_limits<int64_t>::min() / 4;

// Streams by how many programs use them, and the place of each: maps of compute alone, or with copies, are small.
constexpr std::array<size_t, kStreamCount> kOrder = {
    static_cast<size_t>(Stream::kCompute), static_cast<size_t>(Stream::kHostToDevice),
    static_cast<size_t>(Stream::kDeviceToHost), static_cast<size_t>(Stream::kCommunication),
    static_cast<size_t>(Stream::kHost)};
constexpr std::array<size_t, kStreamCount> PlacesOf(const std::array<size_t, kStreamCount>& order) {
  std::array<size_t, kStreamCount> places = {};
  for (size_t i = 0; i < kStreamCount; ++i) places[order[i]] = i;
  return places;
}
constexpr std::array<size_t, kStreamCount> kPlace = PlacesOf(kOrder);

int64_t Plus(int64_t a, int64_t b) { return a <= kNever || b <= kNever ? kNever : a + b; }

}  // namespace

StreamMap StreamMap::Identity() {
  StreamMap map;
  for (size_t to = 0; to < kStreamCount; ++to) {
    map.delay_[to].fill(kNever);
    map.delay_[to][to] = 0;
  }
  return map;
}

void StreamMap::Use(size_t place) { used_ = std::max(used_, place + 1); }

void StreamMap::Issue(Stream stream, uint8_t waits, int64_t picoseconds) {
  Use(kPlace[static_cast<size_t>(stream)]);
  StreamTimes& own = delay_[static_cast<size_t>(stream)];
  for (size_t other = 0; waits >> other != 0; ++other) {
    if ((waits >> other & 1u) == 0) continue;
    Use(kPlace[other]);
    for (size_t from = 0; from < kStreamCount; ++from)
      own[from] = std::max(own[from], delay_[other][from]);
  }
  for (size_t i = 0; i < used_; ++i) own[kOrder[i]] = Plus(own[kOrder[i]], picoseconds);
}

void StreamMap::Compute(int64_t picoseconds) { Issue(Stream::kCompute, 0, picoseconds); }

void StreamMap::Then(StreamMap next) {
  used_ = std::max(used_, next.used_);
  const std::array<StreamTimes, kStreamCount> before = delay_;
  for (size_t i = 0; i < next.used_; ++i) {
    const size_t to = kOrder[i];
    StreamTimes latest;
    latest.fill(kNever);
    for (size_t j = 0; j < next.used_; ++j) {
      const size_t via = kOrder[j];
      const int64_t delay = next.delay_[to][via];
      if (delay <= kNever) continue;
      for (size_t k = 0; k < used_; ++k) {
        const size_t from = kOrder[k];
        latest[from] = std::max(latest[from], Plus(delay, before[via][from]));
      }
    }
    delay_[to] = latest;
  }
}

StreamMap StreamMap::Power(int64_t count) const {
  StreamMap power = Identity(), square = *this;
  for (; count > 0; count >>= 1) {
    if (count & 1) power.Then(square);
    if (count > 1) square.Then(square);
  }
  return power;
}

int64_t StreamMap::LongestDelay(Stream stream) const {
  int64_t longest = kNever;
  for (const StreamTimes& delay : delay_)
    longest = std::max(longest, delay[static_cast<size_t>(stream)]);
  return longest;
}

StreamTimes StreamMap::Apply(const StreamTimes& free) const {
  StreamTimes after = free;
  for (size_t i = 0; i < used_; ++i) {
    const size_t to = kOrder[i];
    after[to] = kNever;
    for (size_t j = 0; j < used_; ++j)
      after[to] = std::max(after[to], Plus(delay_[to][kOrder[j]], free[kOrder[j]]));
  }
  return after;
}

}  // namespace tunesmith::planner
