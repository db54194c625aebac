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
constexpr uint8_t kForCollectives = Waits(Stream::kCommunication);

int32_t BucketIndex(const Program& program, const Bucket& bucket) {
  return static_cast<int32_t>(&bucket - program.buckets.data());
}

Op Collective(const Program& program, OpKind kind, Phase phase, BufferRef from, BufferRef to,
              int32_t bucket) {
  Op op{.kind = kind, .phase = phase, .input_count = 1, .output_count = 1};
  op.inputs[0] = from;
  op.outputs[0] = to;
  op.attributes.bucket = bucket;
  if (!CopiesOverlap(program.inputs.backend)) return op;
  op.stream = Stream::kCommunication;
  op.waits = kForCompute;
  return op;
}

void WaitForCollectives(const Program& program, Op& op) {
  if (CopiesOverlap(program.inputs.backend)) op.waits |= kForCollectives;
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
  for (Op& op : block.ops) {
    if (!IsCollective(op.kind)) op.attributes.accumulate_later = false;
  }
}

// In front of a block: its first op waits for what is gathered there.
void GatherFirst(const Program& program, Block& block, const std::vector<Op>& gathers) {
  if (gathers.empty()) return;
  WaitForCollectives(program, block.ops.front());
  Insert(block, 0, gathers);
}

Op SumOf(const Program& program, const Bucket& bucket) {
  const int32_t index = BucketIndex(program, bucket);
  const bool scatters = SharesStates(program.inputs);
  Op op = Collective(program, scatters ? OpKind::kReduceScatter : OpKind::kAllReduce,
                     Phase::kBackward, {bucket.gradients},
                     {scatters ? bucket.gradient_shard : bucket.gradients}, index);
  op.attributes.last_micro_only = !SharesGradients(program.inputs);
  op.attributes.accumulate_later = SharesGradients(program.inputs);
  return op;
}

}  // namespace

bool IsCollective(OpKind kind) {
  return kind == OpKind::kAllGather || kind == OpKind::kReduceScatter ||
         kind == OpKind::kAllReduce;
}

LayerPlace PlaceOfLayer(const ProgramInputs& inputs, int64_t layer) {
  if (!SharesWeights(inputs)) return {};
  const int64_t last = inputs.model.layer_count - 1;
  return {.last = layer == last, .gathers_below = layer > 0 && layer < last};
}

std::vector<Op> Gathers(const Program& program, BucketPlace place, int32_t shift, Phase phase) {
  std::vector<Op> ops;
  if (!SharesWeights(program.inputs)) return ops;
  for (const Bucket& bucket : program.buckets) {
    if (bucket.place != place) continue;
    ops.push_back(Collective(program, OpKind::kAllGather, phase, {bucket.weight_shard, shift},
                             {bucket.weights, shift}, BucketIndex(program, bucket)));
  }
  return ops;
}

std::vector<Op> Reductions(const Program& program, BucketPlace place) {
  std::vector<Op> ops;
  for (const Bucket& bucket : program.buckets) {
    if (bucket.place == place && bucket.trainable) ops.push_back(SumOf(program, bucket));
  }
  return ops;
}

void ShareLayerForward(const Program& program, const LayerPlace& place, Block& forward) {
  if (!SharesWeights(program.inputs)) return;
  WaitForCollectives(program, forward.ops.front());
  Insert(forward, 1,
         place.last ? Gathers(program, BucketPlace::kHead, 0, Phase::kForward)
                    : Gathers(program, BucketPlace::kLayer, 1, Phase::kForward));
}

void ShareLayerBackward(const Program& program, const LayerPlace& place, Block& backward) {
  if (!HasBuckets(program.inputs)) return;
  WriteSlots(program, backward);
  if (place.gathers_below)
    Insert(backward, 1, Gathers(program, BucketPlace::kLayer, -1, Phase::kBackward));
  if (SharesGradients(program.inputs)) WaitForCollectives(program, backward.ops.back());
  Append(backward, Reductions(program, BucketPlace::kLayer));
}

void ShareEnds(Program& program, const std::vector<BlockRun>& runs) {
  if (!HasBuckets(program.inputs)) return;
  const auto block = [&](const BlockRun& run) -> Block& {
    return program.blocks[static_cast<size_t>(run.block)];
  };
  Block& embedding = block(runs.front());
  if (SharesWeights(program.inputs)) {
    // The gathers wait for the last micro-batch's ops, which may still read what they overwrite.
    std::vector<Op> gathers = Gathers(program, BucketPlace::kEmbedding, 0, Phase::kForward);
    const std::vector<Op> layer = Gathers(program, BucketPlace::kLayer, 0, Phase::kForward);
    gathers.insert(gathers.end(), layer.begin(), layer.end());
    GatherFirst(program, embedding, gathers);
  } else {
    WaitForCollectives(program, embedding.ops.front());
  }
  int norms = 0;
  for (const BlockRun& run : runs) {
    Block& b = block(run);
    if (b.name == "loss") WriteSlots(program, b);
    if (b.name != "final_norm") continue;
    if (++norms == 1 && SharesWeights(program.inputs))
      WaitForCollectives(program, b.ops.front());
    if (norms != 2) continue;
    WriteSlots(program, b);
    Append(b, Reductions(program, BucketPlace::kHead));
  }
  Block& last = block(runs.back());
  if (last.name != "embedding" || &last == &embedding) return;
  WriteSlots(program, last);
  if (SharesGradients(program.inputs)) WaitForCollectives(program, last.ops.front());
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
  if (HasBuckets(program.inputs)) WaitForCollectives(program, block.ops.front());
}

void SumFirst(const Program& program, int32_t square_sum, Block& block) {
  if (!HasBuckets(program.inputs)) return;
  GatherFirst(program, block,
              {Collective(program, OpKind::kAllReduce, Phase::kOptimizer, {square_sum},
                          {square_sum}, /*bucket=*/-1)});
}

std::vector<Op> UpdatedGathers(const Program& program, const Bucket& bucket) {
  if (!SharesStates(program.inputs) || SharesWeights(program.inputs)) return {};
  return {Collective(program, OpKind::kAllGather, Phase::kOptimizer, {bucket.weight_shard},
                     {bucket.weights}, BucketIndex(program, bucket))};
}

void ShareSave(const Program& program, int32_t weight, Block& block) {
  if (!SharesWeights(program.inputs)) return;
  for (const Bucket& bucket : program.buckets) {
    const bool holds = std::any_of(bucket.parts.begin(), bucket.parts.end(),
                                   [&](const BucketPart& part) { return part.buffer == weight; });
    if (holds)
      GatherFirst(program, block,
                  {Collective(program, OpKind::kAllGather, Phase::kSave, {bucket.weight_shard},
                              {bucket.weights}, BucketIndex(program, bucket))});
  }
}

}  // namespace tunesmith::planner
