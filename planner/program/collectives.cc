#include "planner/program/collectives.h"

#include <algorithm>
#include <utility>

#include "planner/program/buckets.h"

namespace tunesmith::planner {
namespace {

constexpr uint8_t Waits(Stream stream) {
  return static_cast<uint8_t>(1u << static_cast<int>(stream));
}
constexpr uint8_t kForCompute = Waits(Stream::kCompute);
constexpr uint8_t kForRanks = Waits(Stream::kCommunication);
constexpr uint8_t kFromHost = Waits(Stream::kHostToDevice);
constexpr uint8_t kToHost = Waits(Stream::kDeviceToHost);
constexpr uint8_t kOnHost = Waits(Stream::kHost);

int32_t BucketIndex(const Program& program, const Bucket& bucket) {
  return static_cast<int32_t>(&bucket - program.buckets.data());
}

// An op that moves a bucket, on a stream of its own where the device has streams.
Op MoveOp(const Program& program, OpKind kind, Phase phase, Stream stream, uint8_t waits,
          BufferRef from, BufferRef to) {
  Op op{.kind = kind, .phase = phase, .input_count = 1, .output_count = 1};
  op.inputs[0] = from;
  op.outputs[0] = to;
  if (!CopiesOverlap(program.inputs.backend)) return op;
  op.stream = stream;
  op.waits = waits;
  return op;
}

Op Collective(const Program& program, OpKind kind, Phase phase, uint8_t waits, BufferRef from,
              BufferRef to, int32_t bucket) {
  Op op = MoveOp(program, kind, phase, Stream::kCommunication, waits, from, to);
  op.attributes.bucket = bucket;
  return op;
}

void WaitFor(const Program& program, uint8_t streams, Op& op) {
  if (CopiesOverlap(program.inputs.backend)) op.waits |= streams;
}

void Insert(Block& block, std::ptrdiff_t at, const std::vector<Op>& ops) {
  block.ops.insert(block.ops.begin() + at, ops.begin(), ops.end());
}

void Append(Block& block, const std::vector<Op>& ops) {
  block.ops.insert(block.ops.end(), ops.begin(), ops.end());
}

// Gradients in a slot are of one micro-batch: the sum over ranks is added to those before, not they.
void WriteSlots(const Program& program, Block& block) {
  if (!SharesGradients(program.inputs)) return;
  for (Op& op : block.ops) op.attributes.accumulate_later = false;
}

// In front of a block: its first op waits for what is gathered there.
void GatherFirst(const Program& program, Block& block, const std::vector<Op>& gathers) {
  if (gathers.empty()) return;
  WaitFor(program, WeightWaits(program.inputs), block.ops.front());
  Insert(block, 0, gathers);
}

// From where a rank keeps its shard to where ops read the whole.
void AppendGather(const Program& program, const Bucket& bucket, int32_t shift, Phase phase,
                  std::vector<Op>& ops) {
  const ProgramInputs& in = program.inputs;
  if (OffloadsWeights(in)) {
    // What the host's updates wrote is read from its memory; only the first of a micro-batch can come too early.
    const uint8_t updates = bucket.place == BucketPlace::kEmbedding ? kOnHost : uint8_t{0};
    ops.push_back(
        MoveOp(program, OpKind::kCopy, phase, Stream::kHostToDevice,
               static_cast<uint8_t>(kForCompute | (HasRanks(in) ? kForRanks : 0) | updates),
               {bucket.host_weights, shift}, {bucket.weight_shard, shift}));
  }
  if (!HasRanks(in)) return;
  ops.push_back(Collective(program, OpKind::kAllGather, phase,
                           OffloadsWeights(in) ? kForCompute | kFromHost : kForCompute,
                           {bucket.weight_shard, shift}, {bucket.weights, shift},
                           BucketIndex(program, bucket)));
}

Op SumOf(const Program& program, const Bucket& bucket) {
  const ProgramInputs& in = program.inputs;
  const bool scatters = SharesStates(in);
  Op op = Collective(program, scatters ? OpKind::kReduceScatter : OpKind::kAllReduce,
                     Phase::kBackward, OffloadsWeights(in) ? kForCompute | kToHost : kForCompute,
                     {bucket.gradients}, {scatters ? bucket.gradient_shard : bucket.gradients},
                     BucketIndex(program, bucket));
  op.attributes.last_micro_only = !SharesGradients(in);
  op.attributes.accumulate_later = SharesGradients(in) && !OffloadsWeights(in);
  return op;
}

// The shard of the gradients to the host: of the whole step, or of every micro-batch, to be added there.
void AppendToHost(const Program& program, const Bucket& bucket, std::vector<Op>& ops) {
  const ProgramInputs& in = program.inputs;
  const uint8_t summed = HasRanks(in) ? kForRanks | kForCompute : kForCompute;
  if (!OffloadsWeights(in)) {
    Op copy = MoveOp(program, OpKind::kCopy, Phase::kBackward, Stream::kDeviceToHost, summed,
                     {bucket.updates.front().device_gradients}, {bucket.host_gradients});
    copy.attributes.last_micro_only = true;
    ops.push_back(copy);
    return;
  }
  ops.push_back(MoveOp(program, OpKind::kCopy, Phase::kBackward, Stream::kDeviceToHost,
                       static_cast<uint8_t>(summed | kOnHost), {bucket.gradient_shard},
                       {bucket.staged_gradients}));
  Op add = MoveOp(program, OpKind::kCopy, Phase::kBackward, Stream::kHost, kToHost,
                  {bucket.staged_gradients}, {bucket.host_gradients});
  add.attributes.accumulate_later = true;
  ops.push_back(add);
}

}  // namespace

bool IsCollective(OpKind kind) {
  return kind == OpKind::kAllGather || kind == OpKind::kReduceScatter ||
         kind == OpKind::kAllReduce || kind == OpKind::kAllToAll;
}

LayerPlace PlaceOfLayer(const ProgramInputs& inputs, int64_t layer) {
  if (!SharesWeights(inputs)) return {};
  const int64_t last = inputs.model.layer_count - 1;
  return PlaceInSlots(layer == 0, layer == last, GathersLate(inputs));
}

LayerPlace PlaceInSlots(bool first, bool last, bool gathers_late) {
  return {.last = last,
          .gathers_below = !gathers_late && !first && !last,
          .gathers_itself = gathers_late};
}

uint8_t WeightWaits(const ProgramInputs& inputs) {
  return HasRanks(inputs) ? kForRanks : kFromHost;
}

uint8_t BackwardWaits(const ProgramInputs& inputs) {
  if (!SharesGradients(inputs)) return 0;
  const uint8_t slots = HasRanks(inputs) ? kForRanks : kToHost;
  return static_cast<uint8_t>(slots | (SharesWeights(inputs) ? WeightWaits(inputs) : 0));
}

std::vector<Op> Gathers(const Program& program, BucketPlace place, int32_t shift, Phase phase) {
  std::vector<Op> ops;
  if (!SharesWeights(program.inputs)) return ops;
  for (const Bucket& bucket : program.buckets) {
    if (bucket.place == place) AppendGather(program, bucket, shift, phase, ops);
  }
  return ops;
}

std::vector<Op> Reductions(const Program& program, BucketPlace place) {
  std::vector<Op> ops;
  for (const Bucket& bucket : program.buckets) {
    if (bucket.place != place || !bucket.trainable) continue;
    if (HasRanks(program.inputs)) ops.push_back(SumOf(program, bucket));
    if (OffloadsStates(program.inputs)) AppendToHost(program, bucket, ops);
  }
  return ops;
}

void ShareLayerForward(const Program& program, const LayerPlace& place, Block& forward) {
  if (!SharesWeights(program.inputs)) return;
  if (place.gathers_itself)
    return GatherFirst(program, forward, Gathers(program, BucketPlace::kLayer, 0, Phase::kForward));
  WaitFor(program, WeightWaits(program.inputs), forward.ops.front());
  Insert(forward, 1,
         place.last ? Gathers(program, BucketPlace::kHead, 0, Phase::kForward)
                    : Gathers(program, BucketPlace::kLayer, 1, Phase::kForward));
}

void ShareLayerBackward(const Program& program, const LayerPlace& place, Block& backward) {
  if (!HasBuckets(program.inputs)) return;
  WriteSlots(program, backward);
  if (place.gathers_below)
    Insert(backward, 1, Gathers(program, BucketPlace::kLayer, -1, Phase::kBackward));
  if (place.gathers_itself && !place.last)
    GatherFirst(program, backward, Gathers(program, BucketPlace::kLayer, 0, Phase::kBackward));
  WaitFor(program, BackwardWaits(program.inputs), backward.ops.back());
  Append(backward, Reductions(program, BucketPlace::kLayer));
}

void ShareEnds(Program& program, const std::vector<BlockRun>& runs) {
  if (!HasBuckets(program.inputs)) return;
  const auto block = [&](const BlockRun& run) -> Block& {
    return program.blocks[static_cast<size_t>(run.block)];
  };
  const bool late = GathersLate(program.inputs);
  Block& embedding = block(runs.front());
  if (SharesWeights(program.inputs)) {
    // The gathers wait for the last micro-batch's ops, which may still read what they overwrite.
    std::vector<Op> gathers = Gathers(program, BucketPlace::kEmbedding, 0, Phase::kForward), layer;
    if (!late) layer = Gathers(program, BucketPlace::kLayer, 0, Phase::kForward);
    gathers.insert(gathers.end(), layer.begin(), layer.end());
    GatherFirst(program, embedding, gathers);
  } else {
    WaitFor(program, kForRanks | kFromHost, embedding.ops.front());
  }
  int norms = 0;
  for (const BlockRun& run : runs) {
    Block& b = block(run);
    if (b.name == "loss") WriteSlots(program, b);
    if (b.name != "final_norm") continue;
    if (++norms == 1 && SharesWeights(program.inputs)) {
      WaitFor(program, WeightWaits(program.inputs), b.ops.front());
      if (late) GatherFirst(program, b, Gathers(program, BucketPlace::kHead, 0, Phase::kForward));
    }
    if (norms != 2) continue;
    WriteSlots(program, b);
    Append(b, Reductions(program, BucketPlace::kHead));
  }
  Block& last = block(runs.back());
  if (last.name != "embedding" || &last == &embedding) return;
  WriteSlots(program, last);
  WaitFor(program, BackwardWaits(program.inputs), last.ops.front());
  Append(last, Reductions(program, BucketPlace::kEmbedding));
}

void ShareForwardOnly(Program& program, const std::vector<BlockRun>& runs) {
  if (!SharesWeights(program.inputs)) return;
  for (const BlockRun& run : runs) {
    Block& b = program.blocks[static_cast<size_t>(run.block)];
    const Phase phase = b.ops.front().phase;
    if (b.name == "embedding")
      GatherFirst(program, b, Gathers(program, BucketPlace::kEmbedding, 0, phase));
    if (b.name == "layer") GatherFirst(program, b, Gathers(program, BucketPlace::kLayer, 0, phase));
    if (b.name == "final_norm")
      GatherFirst(program, b, Gathers(program, BucketPlace::kHead, 0, phase));
  }
}

void ShareFirst(const Program& program, Block& block) {
  if (HasBuckets(program.inputs))
    WaitFor(program, kForRanks | kToHost | kOnHost, block.ops.front());
}

void SumFirst(const Program& program, int32_t square_sum, Block& block) {
  std::vector<Op> moves;
  if (OffloadsWeights(program.inputs))
    moves.push_back(MoveOp(program, OpKind::kCopy, Phase::kOptimizer, Stream::kHostToDevice,
                           kOnHost | kForCompute, {program.host.host_square_sum}, {square_sum}));
  if (HasRanks(program.inputs))
    moves.push_back(Collective(program, OpKind::kAllReduce, Phase::kOptimizer,
                               kForCompute | kFromHost, {square_sum}, {square_sum},
                               /*bucket=*/-1));
  if (moves.empty()) return;
  WaitFor(program, HasRanks(program.inputs) ? kForRanks : kFromHost, block.ops.front());
  Insert(block, 0, moves);
}

void ClipToHost(const Program& program, int32_t clip_factor, Block& block) {
  if (!OffloadsStates(program.inputs)) return;
  Append(block, {MoveOp(program, OpKind::kCopy, Phase::kOptimizer, Stream::kDeviceToHost,
                        kForCompute, {clip_factor}, {program.host.host_clip_factor})});
}

void OnHost(const Program& program, Op& op) {
  if (!CopiesOverlap(program.inputs.backend)) return;
  op.stream = Stream::kHost;
  op.waits = kToHost;
}

std::vector<Op> AfterUpdate(const Program& program, const Bucket& bucket) {
  const ProgramInputs& in = program.inputs;
  std::vector<Op> ops;
  if (OffloadsStates(in) && !OffloadsWeights(in))
    ops.push_back(MoveOp(program, OpKind::kCopy, Phase::kOptimizer, Stream::kHostToDevice, kOnHost,
                         {bucket.host_weights}, {bucket.updates.front().device_weights}));
  if (HasRanks(in) && SharesStates(in) && !SharesWeights(in))
    ops.push_back(Collective(program, OpKind::kAllGather, Phase::kOptimizer,
                             kForCompute | kFromHost, {bucket.weight_shard}, {bucket.weights},
                             BucketIndex(program, bucket)));
  return ops;
}

void ShareSave(const Program& program, int32_t weight, Block& block) {
  if (!SharesWeights(program.inputs)) return;
  for (const Bucket& bucket : program.buckets) {
    const bool holds = std::any_of(bucket.parts.begin(), bucket.parts.end(),
                                   [&](const BucketPart& part) { return part.buffer == weight; });
    if (!holds) continue;
    std::vector<Op> gathers;
    AppendGather(program, bucket, 0, Phase::kSave, gathers);
    GatherFirst(program, block, gathers);
  }
}

}  // namespace tunesmith::planner
