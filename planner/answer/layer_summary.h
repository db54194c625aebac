#pragma once

#include <array>
#include <cstdint>

#include "planner/price/price.h"
#include "planner/program/layer_blocks.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// What one layer adds to a step: bytes of the device's arena, and busy picoseconds of the compute and copy streams, in the first micro-batch of
// a step and in every later one.
struct LayerSummary {
  int64_t saved_bytes = 0;  // beside the block's input
  int64_t forward_local_bytes = 0;
  int64_t backward_local_bytes = 0;
  BlockPrice forward;
  BlockPrice backward_first;
  BlockPrice backward_later;

  // In all micro-batches of a step.
  int64_t ComputePicoseconds(int64_t micro_batch_count) const {
    return micro_batch_count * forward.compute_picoseconds + backward_first.compute_picoseconds +
           (micro_batch_count - 1) * backward_later.compute_picoseconds;
  }
};

// Summaries of the layers of one model, method, attention kernel, micro-batch and tiling; each is made from its blocks when it is first asked
// for. Not thread safe.
class LayerSummaries {
 public:
  // `inputs.mix.recompute` is not read; `prices` must outlive this.
  LayerSummaries(const ProgramInputs& inputs, const PriceTable& prices);

  // Of a layer that is not on the host rung. `first`: layer 0.
  const LayerSummary& At(Rung rung, bool first);
  // Of a layer on the host rung; `last`: the last of them.
  const LayerSummary& OnHost(bool first, bool last);
  // The block of the evaluate segment.
  int64_t EvaluateLocalBytes();

 private:
  const LayerSummary& Of(const LayerVariant& variant, size_t slot);
  LayerSummary Summarize(const LayerVariant& variant);

  ModelParameters parameters_;
  Program scratch_;
  const PriceTable& prices_;
  LayerBuffers buffers_;
  struct Entry {
    bool made = false;
    LayerSummary summary;
  };
  std::array<Entry, 2 * static_cast<size_t>(kRungCount) + 2> entries_ = {};
  int64_t evaluate_local_bytes_ = -1;
};

}  // namespace tunesmith::planner
