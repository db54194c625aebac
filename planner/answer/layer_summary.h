#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "planner/answer/shared_layer.h"
#include "planner/price/price.h"
#include "planner/program/layer_blocks.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// What one layer adds to a step: bytes of the device's arena, and busy picoseconds of the compute and copy streams, in the first micro-batch of
// a step and in every later one. What the ranks of a micro-batch exchange counts as compute: its stream waits for it.
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

  // Of a layer that is not on the host rung. `first`: layer 0. An outline lacks the local bytes, on the host rung also the
  // waits of its streams, and packs no block.
  const LayerSummary& At(Rung rung, bool first);
  const LayerSummary& OutlineAt(Rung rung, bool first);
  // Of a layer on the host rung; `last`: the last of them.
  const LayerSummary& OnHost(bool first, bool last);
  const LayerSummary& OutlineOnHost(bool first, bool last);
  // What its ops take by themselves, of a layer at any rung.
  LayerTimes TimesAt(Rung rung, bool first);
  HostTimes HostTimesOf(bool first, bool last) const;
  // The block of the evaluate segment.
  int64_t EvaluateLocalBytes();

 private:
  // What layers of every rung on the device share: the forward pass, and times of its ops and of all in backward that is not recomputed.
  struct Pass {
    LayerForward layer;
    std::vector<int64_t> op_picoseconds;
    int64_t forward_picoseconds = 0;
    int64_t backward_first_picoseconds = 0;
    int64_t backward_later_picoseconds = 0;
  };
  struct Entry {
    bool outlined = false;
    bool packed = false;
    std::optional<LayerBlocks> blocks;
    LayerSummary summary;
  };
  static constexpr size_t kVariantCount = 2 * static_cast<size_t>(kRungCount) + 2;

  // Where every layer wants the gradient of its input, layer 0 is like any other.
  bool InputGradient(bool first) const {
    return scratch_.inputs.mix.method == Method::kFull || !first;
  }
  Entry& EntryAt(Rung rung, bool first) {
    return entries_[2 * static_cast<size_t>(rung) + (InputGradient(first) ? 0 : 1)];
  }
  Entry& EntryOnHost(bool first, bool last) {
    return entries_[2 * static_cast<size_t>(Rung::kHost) + (first ? 1 : 0) + (last ? 2 : 0)];
  }
  const Pass& PassOf(bool first);
  void PricePass(Pass& pass, const LayerBlocks& keep) const;
  int64_t ExchangePicoseconds(int32_t block_index) const;
  const LayerBlocks& BlocksOf(Rung rung, bool first);
  // Blocks of the pass; `pass` may be one that is not priced yet.
  LayerBlocks MakeBlocks(const Pass& pass, Rung rung, bool first);
  static LayerVariant HostVariant(bool first, bool last) {
    return {.rung = Rung::kHost, .last_on_host = last, .fetches = !first};
  }
  void Issue(BlockPrice& price, const Op& copy) const;
  const Block& block(int32_t index) const { return scratch_.blocks[static_cast<size_t>(index)]; }

  ModelParameters parameters_;
  Program scratch_;
  const PriceTable& prices_;
  LayerBuffers buffers_;
  std::array<Entry, kVariantCount> entries_ = {};
  std::array<std::optional<Pass>, 2> passes_;  // by whether the gradient of the input is wanted
  int64_t evaluate_local_bytes_ = -1;
};

}  // namespace tunesmith::planner
