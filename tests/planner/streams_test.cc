#include "planner/price/streams.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace tunesmith::planner {
namespace {

struct Issued {
  Stream stream;
  uint8_t waits;
  int64_t picoseconds;
};

std::vector<Issued> RandomOps(std::mt19937_64& random, int count) {
  std::vector<Issued> ops;
  for (int i = 0; i < count; ++i)
    ops.push_back({.stream = static_cast<Stream>(random() % kStreamCount),
                   .waits = static_cast<uint8_t>(random() % 32),
                   .picoseconds = static_cast<int64_t>(random() % 1000)});
  return ops;
}

// In-order queues, op by op.
StreamTimes Simulate(StreamTimes free, const std::vector<Issued>& ops) {
  for (const Issued& op : ops) {
    int64_t start = free[static_cast<size_t>(op.stream)];
    for (size_t s = 0; s < kStreamCount; ++s) {
      if ((op.waits >> s & 1) != 0) start = std::max(start, free[s]);
    }
    free[static_cast<size_t>(op.stream)] = start + op.picoseconds;
  }
  return free;
}

StreamMap MapOf(const std::vector<Issued>& ops) {
  StreamMap map = StreamMap::Identity();
  for (const Issued& op : ops) map.Issue(op.stream, op.waits, op.picoseconds);
  return map;
}

TEST(StreamsTest, MapsAndTheirPowersAreWhatAWalkOverTheOpsGives) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    const std::vector<Issued> ops = RandomOps(random, 1 + static_cast<int>(random() % 12));
    const std::vector<Issued> more = RandomOps(random, 5);
    const StreamTimes start = {static_cast<int64_t>(random() % 5000), 0, 77, 3000, 40};
    StreamTimes walked = start;
    for (int64_t count = 0; count < 9; ++count) {
      EXPECT_EQ(MapOf(ops).Power(count).Apply(start), walked);
      StreamMap then = MapOf(ops).Power(count);
      then.Then(MapOf(more));
      EXPECT_EQ(then.Apply(start), Simulate(walked, more));
      walked = Simulate(walked, ops);
    }
  }
}

}  // namespace
}  // namespace tunesmith::planner
