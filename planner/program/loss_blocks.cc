#include "planner/program/loss_blocks.h"

#include <algorithm>
#include <utility>

#include "planner/program/add_buffer.h"
#include "planner/program/backward_emitter.h"

namespace tunesmith::planner {
namespace {

// Runs of whole chunks and, when the rows do not divide, one shorter chunk behind them.
struct Chunks {
  int64_t row_count = 0;  // of a whole chunk
  int64_t whole_count = 0;
  int64_t tail_row_count = 0;
};

Chunks SplitRows(int64_t rows, int64_t chunk_row_count) {
  const int64_t size = std::min(rows, chunk_row_count);
  return {.row_count = size, .whole_count = rows / size, .tail_row_count = rows % size};
}

const Buffer& BufferOf(const Program& program, int32_t id) {
  return program.buffers[static_cast<size_t>(id)];
}

Shape LossShape(const Program& program) {
  return Matrix(BufferOf(program, program.host.labels).dims[0], program.inputs.model.hidden_size);
}

LossBindings BindHostBuffers(const HostBuffers& host) {
  return {.rows = host.loss_rows,
          .labels = host.labels,
          .loss_scale = host.loss_scale,
          .loss_sum = host.loss_sum};
}

class LossBuilder {
 public:
  LossBuilder(Program& program, const ModelParameters& parameters, const LossBindings& bindings,
              std::vector<BlockRun>& runs)
      : program_(program), parameters_(parameters), b_(bindings), runs_(runs) {}

  void Norm(Phase phase) {
    Block block{.name = "final_norm"};
    const auto statistic = [&](int32_t bound, Name name) {
      return bound >= 0
                 ? BufferRef{bound}
                 : AddLocalBuffer(program_, block, name, StatisticDType(program_.inputs),
                                  Vector(buffer(b_.normed).dims[0]), MemoryClass::kActivations);
    };
    std::vector<BufferRef> inputs = {NormInput(), Weight(parameters_.final_norm.weight)};
    std::vector<BufferRef> outputs = {{b_.normed}};
    if (parameters_.final_norm.bias >= 0) inputs.push_back(Weight(parameters_.final_norm.bias));
    if (HasMean()) outputs.push_back(statistic(b_.mean, "final_norm_mean"));
    outputs.push_back(statistic(b_.rstd, "final_norm_rstd"));
    if (b_.rows >= 0)
      Append(block, OpKind::kGatherRows, phase, {}, {b_.input, {b_.rows}}, {{b_.gathered}});
    Append(block, HasMean() ? OpKind::kLayerNorm : OpKind::kRmsNorm, phase, NormAttributes(),
           inputs, outputs);
    AddRun(std::move(block), b_.instance, 1);
  }

  void NormBackward() {
    Block block{.name = "final_norm"};
    std::vector<BufferRef> statistics = {{b_.rstd}};
    if (HasMean()) statistics.insert(statistics.begin(), {b_.mean});
    const auto with_statistics = [&](std::vector<BufferRef> inputs) {
      inputs.insert(inputs.end(), statistics.begin(), statistics.end());
      return inputs;
    };
    OpAttributes weight_attributes = NormAttributes();
    weight_attributes.accumulate_later = true;
    if (parameter(parameters_.final_norm.weight).trainable)
      Append(block, HasMean() ? OpKind::kLayerNormBackwardWeight : OpKind::kRmsNormBackwardWeight,
             Phase::kBackward, weight_attributes, with_statistics({{b_.normed}, NormInput()}),
             {{parameter(parameters_.final_norm.weight).gradient}});
    AddBiasGradient(block, Phase::kBackward, parameters_.final_norm.bias, {b_.normed},
                    /*accumulate=*/false);
    Append(block, HasMean() ? OpKind::kLayerNormBackward : OpKind::kRmsNormBackward,
           Phase::kBackward, NormAttributes(),
           with_statistics({{b_.normed}, NormInput(), Weight(parameters_.final_norm.weight)}),
           {{b_.normed}});
    if (b_.rows >= 0)
      Append(block, OpKind::kScatterRows, Phase::kBackward, {}, {{b_.normed}, {b_.rows}},
             {{b_.input_gradient}});
    AddRun(std::move(block), b_.instance, 1);
  }

  void TrainingChunks(int64_t chunk_row_count) {
    const Chunks chunks = SplitRows(buffer(b_.normed).dims[0], chunk_row_count);
    // The head's gradient is overwritten by the first chunk of the first micro-batch, if at all: later chunks add.
    const bool head_trains = parameter(parameters_.head).trainable;
    const int64_t first_count = head_trains ? 1 : chunks.whole_count;
    TrainingChunk(chunks, 0, first_count, chunks.row_count, /*first=*/true);
    if (first_count < chunks.whole_count)
      TrainingChunk(chunks, first_count, chunks.whole_count - first_count, chunks.row_count,
                    /*first=*/false);
    if (chunks.tail_row_count > 0)
      TrainingChunk(chunks, chunks.whole_count, 1, chunks.tail_row_count, /*first=*/false);
  }

  void EvaluationChunks(int64_t chunk_row_count) {
    const Chunks chunks = SplitRows(buffer(b_.normed).dims[0], chunk_row_count);
    EvaluationChunk(chunks, 0, chunks.whole_count, chunks.row_count);
    if (chunks.tail_row_count > 0)
      EvaluationChunk(chunks, chunks.whole_count, 1, chunks.tail_row_count);
  }

  void NextToken(int32_t generated_token) {
    Block block{.name = "next_token"};
    const BufferRef logits = AddLogits(block, 1);
    AddHead(block, Phase::kGenerate, {b_.normed}, logits);
    Append(block, OpKind::kArgMax, Phase::kGenerate, {}, {logits}, {{generated_token}});
    AddRun(std::move(block), 0, 1);
  }

 private:
  bool HasMean() const { return program_.inputs.model.norm == NormKind::kLayer; }
  double SoftCap() const { return program_.inputs.model.logit_soft_cap; }
  OpAttributes NormAttributes() const {
    const ModelSpec& model = program_.inputs.model;
    return {.epsilon = model.norm_epsilon, .weight_offset = model.norm_adds_one ? 1.0 : 0.0};
  }

  // logits = [soft-capped] x head^T (+ bias). The cap does not change which is the largest, so generation does without.
  void AddHead(Block& block, Phase phase, BufferRef x, BufferRef logits) {
    std::vector<BufferRef> inputs = {x, Weight(parameters_.head)};
    const bool biased = parameters_.head_bias >= 0;
    if (biased) inputs.push_back(Weight(parameters_.head_bias));
    Append(block, biased ? OpKind::kLinearBias : OpKind::kLinear, phase, {}, inputs, {logits});
    if (SoftCap() > 0 && phase != Phase::kGenerate)
      Append(block, OpKind::kSoftCap, phase, {.soft_cap = SoftCap()}, {logits}, {logits});
  }

  void AddBiasGradient(Block& block, Phase phase, int32_t bias, BufferRef dy, bool accumulate) {
    if (bias < 0 || !parameter(bias).trainable) return;
    Append(block, OpKind::kBiasBackward, phase,
           {.accumulate = accumulate, .accumulate_later = true}, {dy},
           {{parameter(bias).gradient}});
  }

  void TrainingChunk(const Chunks& chunks, int64_t first, int64_t count, int64_t rows,
                     bool first_chunk) {
    Block block{.name = "loss"};
    const BufferRef x = View(b_.normed, chunks.row_count, first, count, rows),
                    labels = View(b_.labels, chunks.row_count, first, count, rows);
    const BufferRef logits = AddLogits(block, rows), head = Weight(parameters_.head);
    AddHead(block, Phase::kLoss, x, logits);
    Append(block, OpKind::kCrossEntropyInPlace, Phase::kLoss, {.soft_cap = SoftCap()},
           {logits, labels, {b_.loss_scale}}, {logits, {b_.loss_sum}});
    if (parameter(parameters_.head).trainable) {
      Append(block, OpKind::kLinearBackwardWeight, Phase::kLoss,
             {.accumulate = !first_chunk, .accumulate_later = true}, {logits, x},
             {{parameter(parameters_.head).gradient}});
    }
    AddBiasGradient(block, Phase::kLoss, parameters_.head_bias, logits, !first_chunk);
    Append(block, OpKind::kLinearBackwardInput, Phase::kLoss, {}, {logits, head}, {x});
    AddRun(std::move(block), first, count);
  }

  void EvaluationChunk(const Chunks& chunks, int64_t first, int64_t count, int64_t rows) {
    Block block{.name = "loss"};
    const BufferRef x = View(b_.normed, chunks.row_count, first, count, rows),
                    labels = View(b_.labels, chunks.row_count, first, count, rows);
    const BufferRef logits = AddLogits(block, rows);
    AddHead(block, Phase::kEvaluate, x, logits);
    Append(block, OpKind::kCrossEntropy, Phase::kEvaluate, {}, {logits, labels}, {{b_.loss_sum}});
    AddRun(std::move(block), first, count);
  }

  BufferRef AddLogits(Block& block, int64_t rows) {
    return AddLocalBuffer(program_, block, "logits", ComputeDType(program_.inputs),
                          Matrix(rows, program_.inputs.model.vocab_size), MemoryClass::kLogits);
  }

  // Rows [i * chunk_rows, i * chunk_rows + rows) of `of`, for run indices i in [first, first + count).
  BufferRef View(int32_t of, int64_t chunk_rows, int64_t first, int64_t count, int64_t rows) {
    Buffer view = buffer(of);
    view.view_stride_bytes = InstanceBytes(view) / view.dims[0] * chunk_rows;
    view.name = view.name.With("_chunk");
    view.dims[0] = rows;
    view.region = Region::kView;
    view.view_of = of;
    view.first_instance = first;
    view.instance_count = count;
    program_.buffers.push_back(std::move(view));
    return {.buffer = static_cast<int32_t>(program_.buffers.size()) - 1};
  }

  static void Append(Block& block, OpKind kind, Phase phase, const OpAttributes& attributes,
                     const std::vector<BufferRef>& inputs, const std::vector<BufferRef>& outputs) {
    Op op{.kind = kind, .phase = phase, .attributes = attributes};
    op.input_count = static_cast<int8_t>(inputs.size());
    op.output_count = static_cast<int8_t>(outputs.size());
    std::copy(inputs.begin(), inputs.end(), op.inputs.begin());
    std::copy(outputs.begin(), outputs.end(), op.outputs.begin());
    block.ops.push_back(op);
  }

  void AddRun(Block block, int64_t first, int64_t count) {
    program_.blocks.push_back(std::move(block));
    runs_.push_back({.block = static_cast<int32_t>(program_.blocks.size()) - 1,
                     .first = first,
                     .count = count});
  }

  BufferRef NormInput() const { return b_.rows >= 0 ? BufferRef{b_.gathered} : b_.input; }
  const Buffer& buffer(int32_t id) const { return BufferOf(program_, id); }
  const Parameter& parameter(int32_t index) const {
    return program_.parameters[static_cast<size_t>(index)];
  }
  BufferRef Weight(int32_t index) const { return {.buffer = parameter(index).weight}; }

  Program& program_;
  const ModelParameters& parameters_;
  const LossBindings b_;
  std::vector<BlockRun>& runs_;
};

}  // namespace

LossBindings BindTrainingLoss(Program& program, int32_t stream, uint32_t segments) {
  LossBindings b = BindHostBuffers(program.host);
  const Shape shape = LossShape(program);
  b.normed = b.input_gradient = stream;
  if (b.rows >= 0) {
    const DType compute = ComputeDType(program.inputs);
    b.normed = AddCarried(program, "loss_stream_gradient", compute, shape, segments);
    b.gathered = AddBuffer(program, {.name = "loss_stream",
                                     .dtype = compute,
                                     .dims = shape.dims,
                                     .rank = shape.rank,
                                     .region = Region::kView,
                                     .view_of = stream});
  }
  const auto statistic = [&](Name name) {
    return AddCarried(program, name, StatisticDType(program.inputs), Vector(shape.dims[0]),
                      segments);
  };
  if (program.inputs.model.norm == NormKind::kLayer) b.mean = statistic("final_norm_mean");
  b.rstd = statistic("final_norm_rstd");
  return b;
}

LossBindings BindEvaluationLoss(Program& program, int32_t stream, uint32_t segments) {
  LossBindings b = BindHostBuffers(program.host);
  b.input = {stream};
  b.normed = b.gathered = stream;
  if (b.rows >= 0)
    b.normed = b.gathered = AddCarried(program, "evaluate_loss_stream",
                                       ComputeDType(program.inputs), LossShape(program), segments);
  return b;
}

void AddTrainingLoss(Program& program, const ModelParameters& parameters,
                     const LossBindings& bindings, int64_t chunk_row_count,
                     std::vector<BlockRun>& runs) {
  LossBuilder builder(program, parameters, bindings, runs);
  builder.Norm(Phase::kLoss);
  builder.TrainingChunks(chunk_row_count);
  builder.NormBackward();
}

void AddEvaluationLoss(Program& program, const ModelParameters& parameters,
                       const LossBindings& bindings, int64_t chunk_row_count,
                       std::vector<BlockRun>& runs) {
  LossBuilder builder(program, parameters, bindings, runs);
  builder.Norm(Phase::kEvaluate);
  builder.EvaluationChunks(chunk_row_count);
}

void AddNextToken(Program& program, const ModelParameters& parameters, BufferRef input,
                  int32_t generated_token, std::vector<BlockRun>& runs) {
  LossBuilder builder(program, parameters, {.input = input, .normed = input.buffer}, runs);
  builder.Norm(Phase::kGenerate);
  builder.NextToken(generated_token);
}

}  // namespace tunesmith::planner
