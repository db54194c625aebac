#include "planner/answer/layer_summary.h"

#include "planner/program/build_program.h"
#include "planner/program/decoder_layer.h"
#include "planner/program/derive_blocks.h"
#include "planner/program/packed_block.h"

namespace tunesmith::planner {
namespace {

// Layers of the scratch program: enough for every variant to have its place.
constexpr int64_t kScratchLayerCount = 4;
constexpr int64_t kScratchHostCount = 3;

ProgramInputs ScratchInputs(ProgramInputs inputs) {
  inputs.model.layer_count = kScratchLayerCount;
  inputs.mix.recompute = {};
  inputs.mix.recompute[static_cast<size_t>(Rung::kHost)] = kScratchHostCount;
  inputs.mix.recompute[static_cast<size_t>(Rung::kKeep)] = kScratchLayerCount - kScratchHostCount;
  return inputs;
}

}  // namespace

LayerSummaries::LayerSummaries(const ProgramInputs& inputs, const PriceTable& prices)
    : scratch_(StartProgram(ScratchInputs(inputs), parameters_)),
      prices_(prices),
      buffers_(AddLayerBuffers(scratch_)) {}

const LayerSummary& LayerSummaries::At(Rung rung, bool first) {
  // Where every layer wants the gradient of its input, layer 0 is like any other.
  const bool full = scratch_.inputs.mix.method == Method::kFull;
  const bool apart = first && !full;
  return Of({.rung = rung, .input_gradient = !apart},
            2 * static_cast<size_t>(rung) + (apart ? 1 : 0));
}

const LayerSummary& LayerSummaries::OnHost(bool first, bool last) {
  const bool full = scratch_.inputs.mix.method == Method::kFull;
  return Of({.rung = Rung::kHost,
             .input_gradient = full || !first,
             .last_on_host = last,
             .fetches = !first},
            2 * static_cast<size_t>(Rung::kHost) + (first ? 1 : 0) + (last ? 2 : 0));
}

const LayerSummary& LayerSummaries::Of(const LayerVariant& variant, size_t slot) {
  Entry& entry = entries_[slot];
  if (!entry.made) entry = {.made = true, .summary = Summarize(variant)};
  return entry.summary;
}

LayerSummary LayerSummaries::Summarize(const LayerVariant& variant) {
  const size_t buffer_count = scratch_.buffers.size(), block_count = scratch_.blocks.size();
  const int64_t layer = variant.rung != Rung::kHost ? kScratchHostCount : variant.fetches ? 1 : 0;
  const LayerBlocks blocks =
      AddLayerBlocks(scratch_, parameters_, buffers_, variant, layer, /*count=*/1);
  const Block& forward = scratch_.blocks[static_cast<size_t>(blocks.forward)];
  const Block& backward = scratch_.blocks[static_cast<size_t>(blocks.backward)];
  LayerSummary s{.forward_local_bytes = PackBlock(scratch_, forward).bytes,
                 .backward_local_bytes = PackBlock(scratch_, backward).bytes,
                 .forward = prices_.Price(scratch_, forward, SegmentKind::kMicroFirst),
                 .backward_first = prices_.Price(scratch_, backward, SegmentKind::kMicroFirst),
                 .backward_later = prices_.Price(scratch_, backward, SegmentKind::kMicroLast)};
  for (size_t id = buffer_count; id < scratch_.buffers.size(); ++id) {
    const Buffer& b = scratch_.buffers[id];
    if (b.region == Region::kSaved) s.saved_bytes += AlignedInstanceBytes(b);
  }
  scratch_.buffers.resize(buffer_count);
  scratch_.blocks.resize(block_count);
  return s;
}

int64_t LayerSummaries::EvaluateLocalBytes() {
  if (evaluate_local_bytes_ >= 0) return evaluate_local_bytes_;
  const size_t buffer_count = scratch_.buffers.size(), block_count = scratch_.blocks.size();
  const LayerBindings bindings{.input = {buffers_.stream, 0},
                               .output = {buffers_.stream, 0},
                               .positions = {scratch_.host.positions, 0},
                               .document_starts = {scratch_.host.document_starts, 0}};
  const ForwardGraph graph = DecoderLayer(scratch_, parameters_, bindings);
  AddForwardBlock(scratch_, graph, SaveNothing(graph), "layer", Phase::kEvaluate);
  evaluate_local_bytes_ = PackBlock(scratch_, scratch_.blocks.back()).bytes;
  scratch_.buffers.resize(buffer_count);
  scratch_.blocks.resize(block_count);
  return evaluate_local_bytes_;
}

}  // namespace tunesmith::planner
