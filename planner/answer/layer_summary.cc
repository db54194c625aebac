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

// Where every layer wants the gradient of its input, layer 0 is like any other.
LayerVariant LayerSummaries::VariantAt(Rung rung, bool first) const {
  return {.rung = rung, .input_gradient = scratch_.inputs.mix.method == Method::kFull || !first};
}

size_t LayerSummaries::SlotAt(Rung rung, bool first) const {
  return 2 * static_cast<size_t>(rung) + (VariantAt(rung, first).input_gradient ? 0 : 1);
}

const LayerSummary& LayerSummaries::At(Rung rung, bool first) {
  return Of(VariantAt(rung, first), SlotAt(rung, first));
}

const LayerSummary& LayerSummaries::OnHost(bool first, bool last) {
  LayerVariant variant = VariantAt(Rung::kHost, first);
  variant.last_on_host = last;
  variant.fetches = !first;
  Entry& entry =
      Priced(variant, 2 * static_cast<size_t>(Rung::kHost) + (first ? 1 : 0) + (last ? 2 : 0));
  // A layer that keeps its input alone has the same buffers of its own wherever that input lies.
  const LayerSummary& on_device = At(Rung::kBlock, first);
  entry.summary.forward_local_bytes = on_device.forward_local_bytes;
  entry.summary.backward_local_bytes = on_device.backward_local_bytes;
  return entry.summary;
}

int64_t LayerSummaries::KeepPicoseconds(bool first, int64_t micro_batch_count) {
  return Priced(VariantAt(Rung::kKeep, first), SlotAt(Rung::kKeep, first))
      .summary.ComputePicoseconds(micro_batch_count);
}

const LayerSummary& LayerSummaries::Of(const LayerVariant& variant, size_t slot) {
  Entry& entry = Priced(variant, slot);
  if (!entry.packed) {
    entry.packed = true;
    const auto bytes = [this](int32_t block) {
      return PackBlock(scratch_, scratch_.blocks[static_cast<size_t>(block)]).bytes;
    };
    entry.summary.forward_local_bytes = bytes(entry.blocks.forward);
    entry.summary.backward_local_bytes = bytes(entry.blocks.backward);
  }
  return entry.summary;
}

LayerSummaries::Entry& LayerSummaries::Priced(const LayerVariant& variant, size_t slot) {
  Entry& entry = entries_[slot];
  if (entry.priced) return entry;
  entry.priced = true;
  const size_t buffer_count = scratch_.buffers.size();
  const int64_t layer = variant.rung != Rung::kHost ? kScratchHostCount : variant.fetches ? 1 : 0;
  entry.blocks = AddLayerBlocks(scratch_, GraphOf(variant), buffers_, variant, layer, /*count=*/1);
  const Block& forward = scratch_.blocks[static_cast<size_t>(entry.blocks.forward)];
  const Block& backward = scratch_.blocks[static_cast<size_t>(entry.blocks.backward)];
  LayerSummary& s = entry.summary;
  s.forward = prices_.Price(scratch_, forward, SegmentKind::kMicroFirst);
  s.backward_first = prices_.Price(scratch_, backward, SegmentKind::kMicroFirst);
  s.backward_later = prices_.Price(scratch_, backward, SegmentKind::kMicroLast);
  for (size_t id = buffer_count; id < scratch_.buffers.size(); ++id) {
    const Buffer& b = scratch_.buffers[id];
    if (b.region == Region::kSaved) s.saved_bytes += AlignedInstanceBytes(b);
  }
  return entry;
}

const ForwardGraph& LayerSummaries::GraphOf(const LayerVariant& variant) {
  // Rungs on the device share a graph.
  LayerVariant key = variant;
  if (key.rung != Rung::kHost) key.rung = Rung::kKeep;
  for (const auto& [made, graph] : graphs_) {
    if (made == key) return graph;
  }
  return graphs_.emplace_back(key, LayerGraph(scratch_, parameters_, buffers_, variant)).second;
}

int64_t LayerSummaries::EvaluateLocalBytes() {
  if (evaluate_local_bytes_ >= 0) return evaluate_local_bytes_;
  const LayerBindings bindings{.input = {buffers_.stream, 0},
                               .output = {buffers_.stream, 0},
                               .positions = {scratch_.host.positions, 0},
                               .document_starts = {scratch_.host.document_starts, 0}};
  const ForwardGraph graph = DecoderLayer(scratch_, parameters_, bindings);
  AddForwardBlock(scratch_, graph, SaveNothing(graph), "layer", Phase::kEvaluate);
  evaluate_local_bytes_ = PackBlock(scratch_, scratch_.blocks.back()).bytes;
  return evaluate_local_bytes_;
}

}  // namespace tunesmith::planner
