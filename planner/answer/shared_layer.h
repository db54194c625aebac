#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "planner/answer/step_summary.h"
#include "planner/price/price.h"
#include "planner/program/layer_blocks.h"

namespace tunesmith::planner {

// What the ops of a layer's blocks take, without copies to the host and what goes between ranks for parameters: by micro-batch, a step's first or a later one,
// where that matters. All are on the compute stream.
struct LayerTimes {
  int64_t forward_front = 0;          // the first op
  int64_t forward_before_output = 0;  // all before the one that writes the layer's output
  int64_t forward_output = 0;
  int64_t forward = 0;  // all
  std::array<int64_t, 2> backward_front = {};
  std::array<int64_t, 2> backward_last = {};
  std::array<int64_t, 2> backward = {};
  // Of these, between the ranks of a micro-batch.
  int64_t forward_exchange = 0;
  int64_t backward_exchange = 0;
};

// Copies of a layer on the host rung, with their times.
struct HostTimes {
  HostCopies copies;
  int64_t to_host_picoseconds = 0;
  int64_t fetch_picoseconds = 0;
};

// Prices of a layer's blocks as AddLayerBlocks makes them (layer_blocks.h, collectives.h).
BlockPrice ForwardPrice(const LayerTimes& times, const std::optional<HostTimes>& host,
                        const Collectives& collectives, const LayerPlace& place);
// `later`: not in the first micro-batch of a step; `last`: in the last.
BlockPrice BackwardPrice(const LayerTimes& times, const std::optional<HostTimes>& host,
                         const Collectives& collectives, const LayerPlace& place, bool later,
                         bool last);

// Repeated executions of one block.
class RepeatedBlock {
 public:
  RepeatedBlock() = default;
  explicit RepeatedBlock(const BlockPrice& once) : powers_{once} {}

  const BlockPrice& once() const { return powers_.front(); }
  // REQUIRES: Grow(count), or count <= 1.
  StreamTimes Apply(StreamTimes free, int64_t count) const;
  StreamMap Power(int64_t count) const { return once().streams.Power(count); }
  void Grow(int64_t count);

 private:
  std::vector<BlockPrice> powers_;  // of 1, 2, 4, ... executions
};

// A layer where ranks share parameters, in every micro-batch of a step: its first, those in the middle, its last.
struct SharedLayer {
  RepeatedBlock forward;
  std::array<RepeatedBlock, 3> backward;
};

}  // namespace tunesmith::planner
