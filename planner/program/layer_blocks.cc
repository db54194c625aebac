#include "planner/program/layer_blocks.h"

#include <algorithm>
#include <utility>

#include "planner/program/add_buffer.h"
#include "planner/program/collectives.h"
#include "planner/program/decoder_layer.h"
#include "planner/program/derive_blocks.h"
#include "planner/program/token_slice.h"

// The host rung. Inputs of its layers pass through two slots on the device, layer i's through slot i % 2:
//   forward:   compute i; copy slot i to the host            (while i + 1 computes; the op that writes slot i + 2 waits for the copy)
//   backward:  compute i, with the copy of input i - 1 to its slot beside it   (the first op of layer i - 1 waits for it)
// The input of the last of these layers is still in its slot when backward comes to it: it is not fetched.
namespace tunesmith::planner {
namespace {

constexpr uint8_t Waits(Stream stream) {
  return static_cast<uint8_t>(1u << static_cast<int>(stream));
}

int64_t HostLayerCount(const Program& program) {
  return program.inputs.mix.recompute[static_cast<size_t>(Rung::kHost)];
}

// A copy between the memories, on a stream of its own where the device has one.
Op CopyOp(const Program& program, Phase phase, Stream stream, uint8_t waits, BufferRef from,
          BufferRef to) {
  Op op{.kind = OpKind::kCopy, .phase = phase, .input_count = 1, .output_count = 1};
  op.inputs[0] = from;
  op.outputs[0] = to;
  if (!CopiesOverlap(program.inputs.backend)) return op;
  op.stream = stream;
  op.waits = waits;
  return op;
}

// `copies` are made of blocks whose layer keeps its input in the slots.
void AddHostCopies(Program& program, const LayerBuffers& buffers, const HostCopies& copies,
                   const LayerBlocks& blocks) {
  std::vector<Op>& forward = program.blocks[static_cast<size_t>(blocks.forward)].ops;
  const auto output = std::find_if(forward.begin(), forward.end(), [&](const Op& op) {
    return Writes(program, op, buffers.slots);
  });
  if (output != forward.end()) output->waits |= copies.output_waits;
  forward.push_back(copies.to_host);
  std::vector<Op>& backward = program.blocks[static_cast<size_t>(blocks.backward)].ops;
  backward.front().waits |= copies.input_waits;
  // Second in the block: the first op's wait for this layer's own input must not include the fetch.
  if (copies.fetch) backward.insert(backward.begin() + 1, *copies.fetch);
}

}  // namespace

LayerVariant VariantOf(const ProgramInputs& inputs, int64_t layer) {
  const int64_t host = inputs.mix.recompute[static_cast<size_t>(Rung::kHost)];
  // With frozen weights below the first adapter nothing asks for the gradient of layer 0's input.
  LayerVariant variant{.rung = RungOfLayer(inputs.mix, layer),
                       .input_gradient = inputs.mix.method == Method::kFull || layer > 0,
                       .place = PlaceOfLayer(inputs, layer)};
  if (variant.rung != Rung::kHost) return variant;
  variant.last_on_host = layer == host - 1;
  variant.fetches = layer > 0;
  return variant;
}

LayerBuffers AddLayerBuffers(Program& program) {
  const ModelSpec& model = program.inputs.model;
  const Mix& mix = program.inputs.mix;
  const int64_t rows = SliceTokenCount(mix, program.inputs.workload),
                host = HostLayerCount(program);
  const DType compute = ComputeDType(program.inputs);
  const Shape shape = Matrix(rows, model.hidden_size);
  LayerBuffers buffers;
  buffers.block_input = AddBuffer(program, {.name = "layers.{}.block_input",
                                            .dtype = compute,
                                            .dims = shape.dims,
                                            .rank = shape.rank,
                                            .region = Region::kSaved,
                                            .first_instance = host,
                                            .instance_count = model.layer_count - host + 1});
  // Holds the final norm's output, then chunk by chunk its gradient, then the gradient of the residual stream down to the embedding.
  buffers.stream = AddCarried(program, "stream_gradient", compute, shape, kMicroSegments);
  if (host == 0) return buffers;
  buffers.slots = AddCarried(program, "layers.{}.block_input_slot", compute, shape, kMicroSegments,
                             host, std::min<int64_t>(host, kHostSlotCount));
  buffers.host_input = AddBuffer(program, {.name = "layers.{}.host_block_input",
                                           .dtype = compute,
                                           .dims = shape.dims,
                                           .rank = shape.rank,
                                           .region = Region::kSaved,
                                           .instance_count = host,
                                           .space = Space::kHost});
  return buffers;
}

bool Writes(const Program& program, const Op& op, int32_t buffer) {
  return std::any_of(op.outputs.begin(), op.outputs.begin() + op.output_count, [&](BufferRef ref) {
    return ref.buffer == buffer ||
           program.buffers[static_cast<size_t>(ref.buffer)].view_of == buffer;
  });
}

HostCopies HostCopiesOf(const Program& program, const LayerBuffers& buffers,
                        const LayerVariant& variant) {
  constexpr uint8_t kCompute = Waits(Stream::kCompute), kToHost = Waits(Stream::kDeviceToHost),
                    kToDevice = Waits(Stream::kHostToDevice);
  const bool overlap = CopiesOverlap(program.inputs.backend);
  HostCopies copies{.to_host = CopyOp(program, Phase::kForward, Stream::kDeviceToHost, kCompute,
                                      {buffers.slots, 0}, {buffers.host_input, 0})};
  if (overlap && !variant.last_on_host) copies.output_waits = kToHost;
  // The last one's input is still in its slot; the others' were fetched.
  if (overlap && !variant.last_on_host) copies.input_waits = kToDevice;
  if (!variant.fetches) return copies;
  copies.fetch = CopyOp(program, Phase::kBackward, Stream::kHostToDevice, kCompute | kToHost,
                        {buffers.host_input, -1}, {buffers.slots, -1});
  return copies;
}

LayerForward LayerForwardOf(Program& program, const ModelParameters& parameters,
                            const LayerBuffers& buffers, const LayerVariant& variant) {
  const bool on_host = variant.rung == Rung::kHost;
  const bool output_in_slot = on_host && !variant.last_on_host;
  const LayerBindings bindings{
      .input = {on_host ? buffers.slots : buffers.block_input, 0},
      .output = {output_in_slot ? buffers.slots : buffers.block_input, 1},
      .input_gradient = variant.input_gradient ? BufferRef{buffers.stream, 0} : BufferRef{},
      .output_gradient = {buffers.stream, 0},
      .dropout_key = {program.host.dropout_key, 0},
      .positions = {program.host.positions, 0},
      .document_starts = {program.host.document_starts, 0}};
  ForwardGraph graph = DecoderLayer(program, parameters, bindings);
  std::vector<ValueId> reads = ReadByBackward(program, graph);
  return {.graph = std::move(graph), .reads = std::move(reads)};
}

LayerBlocks AddLayerBlocks(Program& program, const LayerForward& layer, const LayerBuffers& buffers,
                           const LayerVariant& variant, int64_t first, int64_t count) {
  const ForwardGraph& graph = layer.graph;
  const SavedSet saved = SaveForBackward(
      program, graph, ValuesToSave(graph, layer.reads, variant.rung), "layers.{}.", first, count);
  const LayerBlocks blocks{
      .first = first,
      .count = count,
      .forward = AddForwardBlock(program, graph, saved, "layer", Phase::kForward),
      .backward = AddBackwardBlock(program, graph, saved, "layer", /*gradients_exist=*/false)};
  if (variant.rung == Rung::kHost)
    AddHostCopies(program, buffers, HostCopiesOf(program, buffers, variant), blocks);
  return blocks;
}

std::vector<LayerBlocks> AddAllLayerBlocks(Program& program, const ModelParameters& parameters,
                                           const LayerBuffers& buffers) {
  std::vector<LayerBlocks> blocks;
  const int64_t layers = program.inputs.model.layer_count;
  for (int64_t first = 0; first < layers;) {
    const LayerVariant variant = VariantOf(program.inputs, first);
    int64_t end = first + 1;
    while (end < layers && VariantOf(program.inputs, end) == variant) ++end;
    const LayerForward layer = LayerForwardOf(program, parameters, buffers, variant);
    const LayerBlocks& added =
        blocks.emplace_back(AddLayerBlocks(program, layer, buffers, variant, first, end - first));
    ShareLayerForward(program, variant.place, program.blocks[static_cast<size_t>(added.forward)]);
    ShareLayerBackward(program, variant.place, program.blocks[static_cast<size_t>(added.backward)]);
    first = end;
  }
  return blocks;
}

}  // namespace tunesmith::planner
