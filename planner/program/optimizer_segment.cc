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

void AppendUpdate(Block& block, const Parameter& p, const OptimizerBindings& b,
                  int32_t step_scalars) {
  std::vector<int32_t> inputs = {p.gradient, b.clip_factor, step_scalars,
                                 p.weight,   p.moment1,     p.moment2};
  std::vector<int32_t> outputs = {p.weight, p.moment1, p.moment2};
  if (p.master >= 0) inputs.push_back(p.master);
  if (p.master >= 0) outputs.push_back(p.master);
  Append(block, OpKind::kAdamW, {.decays = p.decays}, inputs, outputs);
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
    Block block{.name = "adamw"};
    AppendUpdate(block, p, b, program.host.step_scalars);
    AddRun(program, segment, std::move(block), WeightOf(program, p).instance_count);
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
