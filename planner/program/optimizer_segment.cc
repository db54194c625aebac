#include "planner/program/optimizer_segment.h"

#include <utility>
#include <vector>

#include "planner/program/backward_emitter.h"
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

const Buffer& WeightOf(const Program& program, const Parameter& p) {
  return program.buffers[static_cast<size_t>(p.weight)];
}

// What the update of a parameter changes, in the order of its op.
std::vector<int32_t> UpdatedBuffers(const Parameter& p) {
  std::vector<int32_t> updated = {p.weight};
  for (int32_t state : {p.moment1, p.moment2, p.moment1_scale, p.moment2_scale, p.master}) {
    if (state >= 0) updated.push_back(state);
  }
  return updated;
}

Block UpdateBlock(const Program& program, const Parameter& p, const OptimizerBindings& b) {
  const bool adamw = program.inputs.mix.optimizer == Optimizer::kAdamW;
  const std::vector<int32_t> updated = UpdatedBuffers(p);
  std::vector<int32_t> inputs = {p.gradient, b.clip_factor, program.host.step_scalars,
                                 program.host.step_key};
  inputs.insert(inputs.end(), updated.begin(), updated.end());
  Block block{.name = adamw ? "adamw" : "sgd"};
  Append(block, adamw ? OpKind::kAdamW : OpKind::kSgd,
         {.decays = p.decays, .parameter_key = RandomKey(0, WeightOf(program, p).name.Text())},
         inputs, updated);
  return block;
}

}  // namespace

void AddOptimizerSegment(Program& program, const OptimizerBindings& b) {
  Segment segment{.kind = SegmentKind::kOptimizer, .repeat_count = 1};
  Block clear{.name = "clear_gradient_norm"};
  Append(clear, OpKind::kClear, {}, {}, {b.square_sum});
  AddRun(program, segment, std::move(clear), 1);
  for (const Parameter& p : program.parameters) {
    if (!p.trainable) continue;
    Block block{.name = "gradient_norm"};
    Append(block, OpKind::kSumSquares, {.accumulate = true}, {p.gradient}, {b.square_sum});
    AddRun(program, segment, std::move(block), WeightOf(program, p).instance_count);
  }
  Block clip{.name = "clip_factor"};
  Append(clip, OpKind::kClipFactor, {}, {b.square_sum, program.host.step_scalars},
         {b.clip_factor, program.host.gradient_norm});
  AddRun(program, segment, std::move(clip), 1);
  for (const Parameter& p : program.parameters) {
    if (!p.trainable) continue;
    AddRun(program, segment, UpdateBlock(program, p, b), WeightOf(program, p).instance_count);
  }
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
    AddRun(program, segment, std::move(block), weight.instance_count);
  }
  program.segments.push_back(std::move(segment));
}

}  // namespace tunesmith::planner
