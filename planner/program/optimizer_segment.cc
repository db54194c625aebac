#include "planner/program/optimizer_segment.h"

#include <utility>
#include <vector>

#include "planner/program/backward_emitter.h"
#include "planner/program/buckets.h"
#include "planner/program/collectives.h"
#include "planner/program/layer_parameters.h"

namespace tunesmith::planner {
namespace {

void Append(Block& block, OpKind kind, const OpAttributes& attributes,
            const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs,
            Phase phase = Phase::kOptimizer) {
  Op op{.kind = kind, .phase = phase, .attributes = attributes};
  for (int32_t input : inputs) op.inputs[static_cast<size_t>(op.input_count++)] = {.buffer = input};
  for (int32_t output : outputs)
    op.outputs[static_cast<size_t>(op.output_count++)] = {.buffer = output};
  block.ops.push_back(op);
}

void AddRun(Program& program, Segment& segment, Block block, int64_t count) {
  program.blocks.push_back(std::move(block));
  segment.runs.push_back(
      {.block = static_cast<int32_t>(program.blocks.size()) - 1, .first = 0, .count = count});
}

const Buffer& BufferOf(const Program& program, int32_t id) {
  return program.buffers[static_cast<size_t>(id)];
}
const Buffer& WeightOf(const Program& program, const Parameter& p) {
  return BufferOf(program, p.weight);
}

// What the update of weights changes, in the order of its op. `states`: a Parameter or a BucketUpdate.
template <typename States>
std::vector<int32_t> UpdatedBuffers(int32_t weights, const States& states) {
  std::vector<int32_t> updated = {weights};
  for (int32_t state : {states.moment1, states.moment2, states.moment1_scale, states.moment2_scale,
                        states.master}) {
    if (state >= 0) updated.push_back(state);
  }
  return updated;
}

// What all updates in one memory read.
std::vector<int32_t> CommonInputs(const Program& program, Space space, const OptimizerBindings& b) {
  const HostBuffers& h = program.host;
  if (space == Space::kHost) return {h.host_clip_factor, h.host_step_scalars, h.host_step_key};
  return {b.clip_factor, h.step_scalars, h.step_key};
}

bool IsAdamW(const Program& program) { return program.inputs.mix.optimizer == Optimizer::kAdamW; }

Block UpdateBlock(const Program& program) { return {.name = IsAdamW(program) ? "adamw" : "sgd"}; }

void AppendUpdate(const Program& program, Space space, int32_t gradient,
                  const std::vector<int32_t>& updated, const OpAttributes& attributes,
                  const OptimizerBindings& b, Block& block) {
  std::vector<int32_t> inputs = CommonInputs(program, space, b);
  inputs.insert(inputs.begin(), gradient);
  inputs.insert(inputs.end(), updated.begin(), updated.end());
  Append(block, IsAdamW(program) ? OpKind::kAdamW : OpKind::kSgd, attributes, inputs, updated);
}

void AddNorms(Program& program, Segment& segment, int32_t square_sum) {
  const bool on_host = OffloadsWeights(program.inputs);
  const auto add = [&](int32_t gradient, const OpAttributes& attributes) {
    Block block{.name = "gradient_norm"};
    Append(block, OpKind::kSumSquares, attributes, {gradient},
           {on_host ? program.host.host_square_sum : square_sum});
    if (on_host) OnHost(program, block.ops.back());
    AddRun(program, segment, std::move(block), BufferOf(program, gradient).instance_count);
  };
  for (const Parameter& p : program.parameters) {
    if (p.trainable && program.buckets.empty()) add(p.gradient, {.accumulate = true});
  }
  // Every rank sums its shard, whatever it holds beside it.
  for (size_t i = 0; i < program.buckets.size(); ++i) {
    const Bucket& bucket = program.buckets[i];
    if (bucket.trainable)
      add(on_host ? bucket.host_gradients : bucket.gradient_shard,
          {.accumulate = true, .bucket = static_cast<int32_t>(i), .of_shard = true});
  }
}

void AddUpdates(Program& program, Segment& segment, const OptimizerBindings& b) {
  for (const Parameter& p : program.parameters) {
    if (!p.trainable || !program.buckets.empty()) continue;
    const Buffer& weight = WeightOf(program, p);
    Block block = UpdateBlock(program);
    AppendUpdate(program, Space::kDevice, p.gradient, UpdatedBuffers(p.weight, p),
                 {.decays = p.decays, .parameter_key = RandomKey(0, weight.name.Text())}, b, block);
    AddRun(program, segment, std::move(block), weight.instance_count);
  }
  for (size_t i = 0; i < program.buckets.size(); ++i) {
    const Bucket& bucket = program.buckets[i];
    if (!bucket.trainable) continue;
    Block block = UpdateBlock(program);
    for (const BucketUpdate& update : bucket.updates) {
      AppendUpdate(program, update.space, update.gradients, UpdatedBuffers(update.weights, update),
                   {.bucket = static_cast<int32_t>(i),
                    .of_shard = SharesStates(program.inputs),
                    .shard_first = update.first},
                   b, block);
      if (update.space == Space::kHost) OnHost(program, block.ops.back());
    }
    for (const Op& op : AfterUpdate(program, bucket)) block.ops.push_back(op);
    AddRun(program, segment, std::move(block), BufferOf(program, bucket.gradients).instance_count);
  }
}

}  // namespace

void AddOptimizerSegment(Program& program, const OptimizerBindings& b) {
  Segment segment{.kind = SegmentKind::kOptimizer, .repeat_count = 1};
  Block clear{.name = "clear_gradient_norm"};
  Append(clear, OpKind::kClear, {}, {}, {b.square_sum});
  ShareFirst(program, clear);
  if (program.host.host_square_sum >= 0) {
    Append(clear, OpKind::kClear, {}, {}, {program.host.host_square_sum});
    OnHost(program, clear.ops.back());
  }
  AddRun(program, segment, std::move(clear), 1);
  AddNorms(program, segment, b.square_sum);
  Block clip{.name = "clip_factor"};
  Append(clip, OpKind::kClipFactor, {}, {b.square_sum, program.host.step_scalars},
         {b.clip_factor, program.host.gradient_norm});
  SumFirst(program, b.square_sum, clip);
  ClipToHost(program, b.clip_factor, clip);
  AddRun(program, segment, std::move(clip), 1);
  AddUpdates(program, segment, b);
  program.segments.push_back(std::move(segment));
}

void AddSaveSegment(Program& program) {
  const bool full = program.inputs.mix.method == Method::kFull;
  Segment segment{.kind = SegmentKind::kSave};
  for (const Parameter& p : program.parameters) {
    if (!p.trainable && !full) continue;
    const Buffer weight = WeightOf(program, p);
    Block block{.name = "save"};
    const BufferRef staging =
        AddLocalBuffer(program, block, "save_staging", StatisticDType(program.inputs),
                       {.dims = weight.dims, .rank = weight.rank}, MemoryClass::kWorkspace);
    Append(block, OpKind::kCopy, {}, {p.weight}, {staging.buffer}, Phase::kSave);
    ShareSave(program, p.weight, block);
    AddRun(program, segment, std::move(block), weight.instance_count);
  }
  program.segments.push_back(std::move(segment));
}

}  // namespace tunesmith::planner
