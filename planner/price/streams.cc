#include "planner/price/streams.h"

#include <algorithm>
#include <limits>

namespace tunesmith::planner {
namespace {

// Far below any sum of delays, and far enough from the end of the range that sums of two are defined.
constexpr int64_t kNever = std::numeric_limits<int64_t>::min() / 4;

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

void StreamMap::Issue(Stream stream, uint8_t waits, int64_t picoseconds) {
  StreamTimes& own = delay_[static_cast<size_t>(stream)];
  for (size_t other = 0; other < kStreamCount; ++other) {
    if ((waits >> other & 1u) == 0) continue;
    for (size_t from = 0; from < kStreamCount; ++from)
      own[from] = std::max(own[from], delay_[other][from]);
  }
  for (int64_t& delay : own) delay = Plus(delay, picoseconds);
}

void StreamMap::Compute(int64_t picoseconds) { Issue(Stream::kCompute, 0, picoseconds); }

void StreamMap::Then(StreamMap next) {
  const std::array<StreamTimes, kStreamCount> before = delay_;
  for (size_t to = 0; to < kStreamCount; ++to) {
    StreamTimes latest;
    latest.fill(kNever);
    for (size_t via = 0; via < kStreamCount; ++via) {
      const int64_t delay = next.delay_[to][via];
      if (delay <= kNever) continue;
      for (size_t from = 0; from < kStreamCount; ++from)
        latest[from] = std::max(latest[from], Plus(delay, before[via][from]));
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

StreamTimes StreamMap::Apply(const StreamTimes& free) const {
  StreamTimes after;
  for (size_t to = 0; to < kStreamCount; ++to) {
    after[to] = kNever;
    for (size_t from = 0; from < kStreamCount; ++from)
      after[to] = std::max(after[to], Plus(delay_[to][from], free[from]));
  }
  return after;
}

}  // namespace tunesmith::planner
