#pragma once

#include <array>
#include <cstdint>

#include "planner/program/op.h"

// Streams are in-order queues joined by waits, as CUDA runs them. What a piece of a program does to the times at which its streams become free
// is a max-plus linear map: each stream is free again at the latest of some of the earlier times, each plus a delay. Maps compose, so that
// repeated layers cost a power instead of a walk.
namespace tunesmith::planner {

// When each stream is free, picoseconds.
using StreamTimes = std::array<int64_t, kStreamCount>;

class StreamMap {
 public:
  // Nothing happens.
  static StreamMap Identity();

  // Issues one op: it starts when its stream and the streams in the bit set `waits` are free.
  void Issue(Stream stream, uint8_t waits, int64_t picoseconds);
  // The compute stream is busy for so long.
  void Compute(int64_t picoseconds);
  // What `next` does comes after what this does.
  void Then(StreamMap next);  // by value: a map may follow itself
  // This, `count` times; the identity for 0.
  StreamMap Power(int64_t count) const;

  StreamTimes Apply(const StreamTimes& free) const;
  // From when `stream` is free to the last end of what waits for it.
  int64_t LongestDelay(Stream stream) const;

  bool operator==(const StreamMap& other) const { return delay_ == other.delay_; }

 private:
  // Streams that something was issued on or waited for, a prefix of kOrder (streams.cc): the others stay as they are, and cost nothing.
  void Use(size_t place);

  size_t used_ = 0;
  // delay_[to][from]: `to` is free no earlier than `from` was, plus this; very negative: it does not wait for it.
  std::array<StreamTimes, kStreamCount> delay_;
};

}  // namespace tunesmith::planner
