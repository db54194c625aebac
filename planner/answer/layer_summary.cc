#include "planner/answer/layer_summary.h"

#include "planner/program/build_program.h"
#include "planner/program/collectives.h"
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
  // What goes between ranks for parameters is priced by itself: it takes nothing of a layer's own buffers.
  inputs.mix.zero_stage = 0;
  inputs.mix.data_parallel = 1;
  inputs.mix.offload = Offload::kNone;
  return inputs;
}

BlockPrice Computing(int64_t picoseconds) {
  BlockPrice price;
  price.Issue(Stream::kCompute, 0, picoseconds);
  return price;
}

}  // namespace

LayerSummaries::LayerSummaries(const ProgramInputs& inputs, const PriceTable& prices)
    : scratch_(StartProgram(ScratchInputs(inputs), parameters_)),
      prices_(prices),
      buffers_(AddLayerBuffers(scratch_)) {
  // Ops take longer where ranks share a host.
  scratch_.inputs.mix.data_parallel = inputs.mix.data_parallel;
}

const LayerSummary& LayerSummaries::OutlineAt(Rung rung, bool first) {
  Entry& entry = EntryAt(rung, first);
  if (entry.outlined) return entry.summary;
  entry.outlined = true;
  const Pass& pass = PassOf(first);
  const ForwardGraph& graph = pass.layer.graph;
  const std::vector<ValueId> saved = ValuesToSave(graph, pass.layer.reads, rung);
  int64_t recompute = 0;
  for (int32_t op : RecomputedOps(graph, pass.layer.reads, saved))
    recompute += pass.op_picoseconds[static_cast<size_t>(op)];
  LayerSummary& s = entry.summary;
  for (ValueId value : saved) s.saved_bytes += AlignedBytes(graph.value(value));
  s.forward = Computing(pass.forward_picoseconds);
  s.backward_first = Computing(pass.backward_first_picoseconds + recompute);
  s.backward_later = Computing(pass.backward_later_picoseconds + recompute);
  return s;
}

const LayerSummary& LayerSummaries::At(Rung rung, bool first) {
  OutlineAt(rung, first);
  Entry& entry = EntryAt(rung, first);
  if (entry.packed) return entry.summary;
  entry.packed = true;
  const LayerBlocks& blocks = BlocksOf(rung, first);
  entry.summary.forward_local_bytes = PackedBytes(scratch_, block(blocks.forward));
  entry.summary.backward_local_bytes = PackedBytes(scratch_, block(blocks.backward));
  return entry.summary;
}

const LayerBlocks& LayerSummaries::BlocksOf(Rung rung, bool first) {
  Entry& entry = EntryAt(rung, first);
  if (!entry.blocks) entry.blocks = MakeBlocks(PassOf(first), rung, first);
  return *entry.blocks;
}

LayerBlocks LayerSummaries::MakeBlocks(const Pass& pass, Rung rung, bool first) {
  return AddLayerBlocks(scratch_, pass.layer, buffers_,
                        {.rung = rung, .input_gradient = InputGradient(first)}, kScratchHostCount,
                        /*count=*/1);
}

const LayerSummaries::Pass& LayerSummaries::PassOf(bool first) {
  std::optional<Pass>& pass = passes_[InputGradient(first) ? 1 : 0];
  if (pass) return *pass;
  const LayerVariant variant{.input_gradient = InputGradient(first)};
  pass.emplace(Pass{.layer = LayerForwardOf(scratch_, parameters_, buffers_, variant)});
  PricePass(*pass, BlocksOf(Rung::kKeep, first));
  return *pass;
}

void LayerSummaries::PricePass(Pass& pass, const LayerBlocks& keep) const {
  constexpr SegmentKind kFirst = SegmentKind::kMicroFirst, kLater = SegmentKind::kMicroLast;
  for (const Op& op : block(keep.forward).ops) {
    pass.op_picoseconds.push_back(prices_.Picoseconds(scratch_, op, kFirst));
    pass.forward_picoseconds += pass.op_picoseconds.back();
  }
  for (const Op& op : block(keep.backward).ops) {
    if (op.phase == Phase::kRecompute) continue;
    const int64_t first = prices_.Picoseconds(scratch_, op, kFirst);
    pass.backward_first_picoseconds += first;
    pass.backward_later_picoseconds += Accumulates(op, kFirst) == Accumulates(op, kLater)
                                           ? first
                                           : prices_.Picoseconds(scratch_, op, kLater);
  }
}

// A layer that keeps its input alone computes the same, in the same buffers of its own, wherever that input lies.
const LayerSummary& LayerSummaries::OutlineOnHost(bool first, bool last) {
  Entry& entry = EntryOnHost(first, last);
  if (entry.outlined) return entry.summary;
  entry.outlined = true;
  LayerSummary& s = entry.summary = OutlineAt(Rung::kBlock, first);
  const HostCopies copies = HostCopiesOf(scratch_, buffers_, HostVariant(first, last));
  Issue(s.forward, copies.to_host);
  if (!copies.fetch) return s;
  Issue(s.backward_first, *copies.fetch);
  Issue(s.backward_later, *copies.fetch);
  return s;
}

const LayerSummary& LayerSummaries::OnHost(bool first, bool last) {
  OutlineOnHost(first, last);
  Entry& entry = EntryOnHost(first, last);
  if (entry.packed) return entry.summary;
  entry.packed = true;
  LayerSummary& s = entry.summary;
  const LayerSummary& on_device = At(Rung::kBlock, first);
  s.forward_local_bytes = on_device.forward_local_bytes;
  s.backward_local_bytes = on_device.backward_local_bytes;
  const LayerTimes times = TimesAt(Rung::kHost, first);
  const std::optional<HostTimes> host = HostTimesOf(first, last);
  s.forward = ForwardPrice(times, host, {}, {});
  s.backward_first = BackwardPrice(times, host, {}, {}, /*later=*/false, /*last=*/false);
  s.backward_later = BackwardPrice(times, host, {}, {}, /*later=*/true, /*last=*/false);
  return s;
}

int64_t LayerSummaries::ExchangePicoseconds(int32_t block_index) const {
  int64_t picoseconds = 0;
  for (const Op& op : block(block_index).ops) {
    if (IsCollective(op.kind))
      picoseconds += prices_.Picoseconds(scratch_, op, SegmentKind::kMicroFirst);
  }
  return picoseconds;
}

LayerTimes LayerSummaries::TimesAt(Rung rung, bool first) {
  const Rung made = rung == Rung::kHost ? Rung::kBlock : rung;
  const LayerSummary& summary = At(made, first);
  const LayerBlocks& blocks = BlocksOf(made, first);
  const Pass& pass = PassOf(first);
  LayerTimes times{.forward_front = pass.op_picoseconds.front(),
                   .forward = pass.forward_picoseconds,
                   .backward = {summary.backward_first.compute_picoseconds,
                                summary.backward_later.compute_picoseconds},
                   .forward_exchange = ExchangePicoseconds(blocks.forward),
                   .backward_exchange = ExchangePicoseconds(blocks.backward)};
  const std::vector<Op>& forward = block(blocks.forward).ops;
  size_t output = 0;
  while (!Writes(scratch_, forward[output], buffers_.block_input))
    times.forward_before_output += pass.op_picoseconds[output++];
  times.forward_output = pass.op_picoseconds[output];
  const std::vector<Op>& backward = block(blocks.backward).ops;
  for (size_t later : {0, 1}) {
    const SegmentKind kind = later == 0 ? SegmentKind::kMicroFirst : SegmentKind::kMicroLast;
    times.backward_front[later] = prices_.Picoseconds(scratch_, backward.front(), kind);
    times.backward_last[later] = prices_.Picoseconds(scratch_, backward.back(), kind);
  }
  return times;
}

HostTimes LayerSummaries::HostTimesOf(bool first, bool last) const {
  const auto picoseconds = [this](const Op& copy) {
    return prices_.Picoseconds(scratch_, copy, SegmentKind::kMicroFirst);
  };
  HostTimes times{.copies = HostCopiesOf(scratch_, buffers_, HostVariant(first, last))};
  times.to_host_picoseconds = picoseconds(times.copies.to_host);
  if (times.copies.fetch) times.fetch_picoseconds = picoseconds(*times.copies.fetch);
  return times;
}

void LayerSummaries::Issue(BlockPrice& price, const Op& copy) const {
  price.Issue(copy.stream, copy.waits,
              prices_.Picoseconds(scratch_, copy, SegmentKind::kMicroFirst));
}

int64_t LayerSummaries::EvaluateLocalBytes() {
  if (evaluate_local_bytes_ >= 0) return evaluate_local_bytes_;
  const LayerBindings bindings{.input = {buffers_.stream, 0},
                               .output = {buffers_.stream, 0},
                               .positions = {scratch_.host.positions, 0},
                               .document_starts = {scratch_.host.document_starts, 0}};
  const ForwardGraph graph = DecoderLayer(scratch_, parameters_, bindings);
  AddForwardBlock(scratch_, graph, SaveNothing(graph), "layer", Phase::kEvaluate);
  evaluate_local_bytes_ = PackedBytes(scratch_, scratch_.blocks.back());
  return evaluate_local_bytes_;
}

}  // namespace tunesmith::planner
