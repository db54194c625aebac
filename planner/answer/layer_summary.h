#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

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
  LayerSummaries(const LayerSummaries&) = delete;
  LayerSummaries& operator=(const LayerSummaries&) = delete;

  // Of a layer that is not on the host rung. `first`: layer 0.
  const LayerSummary& At(Rung rung, bool first);
  // Of a layer on the host rung; `last`: the last of them.
  const LayerSummary& OnHost(bool first, bool last);
  // ComputePicoseconds of a layer that keeps everything: all that a first look at a family needs.
  int64_t KeepPicoseconds(bool first, int64_t micro_batch_count);
  // The block of the evaluate segment.
  int64_t EvaluateLocalBytes();

 private:
  struct Entry {
    bool priced = false;
    bool packed = false;
    LayerBlocks blocks;
    LayerSummary summary;
  };
  static constexpr size_t kVariantCount = 2 * static_cast<size_t>(kRungCount) + 2;

  size_t SlotAt(Rung rung, bool first) const;
  LayerVariant VariantAt(Rung rung, bool first) const;
  const LayerSummary& Of(const LayerVariant& variant, size_t slot);
  Entry& Priced(const LayerVariant& variant, size_t slot);
  const ForwardGraph& GraphOf(const LayerVariant& variant);

  ModelParameters parameters_;
  Program scratch_;
  const PriceTable& prices_;
  LayerBuffers buffers_;
  std::array<Entry, kVariantCount> entries_ = {};
  std::vector<std::pair<LayerVariant, ForwardGraph>> graphs_;
  int64_t evaluate_local_bytes_ = -1;
};

}  // namespace tunesmith::planner
