#include "planner/program/build_program.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/units.h"
#include "planner/program/backward_emitter.h"
#include "planner/program/decoder_layer.h"
#include "planner/program/derive_blocks.h"
#include "planner/program/layer_parameters.h"
#include "planner/program/loss_blocks.h"
#include "planner/program/optimizer_segment.h"

namespace tunesmith::planner {
namespace {

constexpr uint32_t Bit(SegmentKind kind) { return 1u << static_cast<int>(kind); }
constexpr uint32_t kMicroSegments =
    Bit(SegmentKind::kMicroFirst) | Bit(SegmentKind::kMicroMiddle) | Bit(SegmentKind::kMicroLast);

// Consecutive layers that share blocks: same rung, same wish for a gradient of their input.
struct LayerRange {
  int64_t first = 0;
  int64_t count = 0;
  Rung rung = Rung::kKeep;
  bool input_gradient = true;
  int32_t forward_block = -1;
  int32_t backward_first = -1;  // first micro-batch of a step: gradients are overwritten
  int32_t backward_next = -1;
};

class ProgramBuilder {
 public:
  explicit ProgramBuilder(const ProgramInputs& inputs) : model_(program_.inputs.model) {
    program_.inputs = inputs;
  }

  Program Build() {
    parameters_ = AddParameters(program_);
    AddHostBuffers();
    if (program_.inputs.trains) AddTraining();
    if (program_.inputs.trains)
      AddOptimizerSegment(program_, {.square_sum = square_sum_, .clip_factor = clip_factor_});
    if (program_.inputs.trains) AddSaveSegment(program_);
    if (program_.inputs.workload.evaluates) AddEvaluation();
    if (program_.inputs.workload.generates) AddGeneration();
    CountLocals();
    return std::move(program_);
  }

 private:
  const Workload& workload() const { return program_.inputs.workload; }
  const Mix& mix() const { return program_.inputs.mix; }
  int64_t Rows() const { return mix().micro_batch * workload().context; }
  bool Full() const { return mix().method == Method::kFull; }

  int32_t AddBuffer(Buffer buffer) {
    program_.buffers.push_back(std::move(buffer));
    return static_cast<int32_t>(program_.buffers.size()) - 1;
  }

  int32_t AddInput(const std::string& name, DType dtype, int64_t count) {
    return AddBuffer({.name = name,
                      .dtype = dtype,
                      .dims = {count, 1, 1},
                      .rank = 1,
                      .region = Region::kResident,
                      .memory_class = MemoryClass::kInputs});
  }

  int32_t AddCarried(const std::string& name, DType dtype, Shape shape, uint32_t segments,
                     int64_t instance_count = 1) {
    return AddBuffer({.name = name,
                      .dtype = dtype,
                      .dims = shape.dims,
                      .rank = shape.rank,
                      .region = Region::kCarried,
                      .instance_count = instance_count,
                      .segments = segments});
  }

  void AddHostBuffers() {
    HostBuffers& h = program_.host;
    h.tokens = AddInput("tokens", DType::kI32, Rows());
    h.labels = AddInput("labels", DType::kI32, Rows());
    h.positions = AddInput("positions", DType::kI32, Rows());
    h.document_starts = AddInput("document_starts", DType::kI32, Rows());
    h.loss_scale = AddInput("loss_scale", DType::kF32, 1);
    h.step_scalars = AddInput("step_scalars", DType::kF32, kStepScalarCount);
    h.loss_sum = AddInput("loss_sum", DType::kF64, 1);
    h.gradient_norm = AddInput("gradient_norm", DType::kF32, 1);
    square_sum_ = AddInput("gradient_square_sum", DType::kF64, 1);
    clip_factor_ = AddInput("clip_factor", DType::kF32, 1);
    if (!workload().generates) return;
    h.generate_token = AddInput("generate_token", DType::kI32, 1);
    h.generate_position = AddInput("generate_position", DType::kI32, 1);
    h.generated_token = AddInput("generated_token", DType::kI32, 1);
  }

  // ---- Training -------------------------------------------------------------------------------------------------------------------

  void AddTraining() {
    const DType compute = ComputeDType(program_.inputs);
    block_input_ = AddBuffer({.name = "layers.{}.block_input",
                              .dtype = compute,
                              .dims = {Rows(), model_.hidden_size, 1},
                              .rank = 2,
                              .region = Region::kSaved,
                              .instance_count = model_.layer_count + 1});
    // Holds the final norm's output, then chunk by chunk its gradient, then the gradient of the residual stream down to the embedding.
    stream_ =
        AddCarried("stream_gradient", compute, Matrix(Rows(), model_.hidden_size), kMicroSegments);
    final_rstd_ = AddCarried("final_norm_rstd", StatisticDType(program_.inputs), Vector(Rows()),
                             kMicroSegments);
    AddLayerBlocks();
    AddEmbeddingBlocks();
    const bool several = mix().accumulation_count > 1;
    AddMicroSegment(SegmentKind::kMicroFirst, 1, /*first=*/true);
    if (mix().accumulation_count > 2)
      AddMicroSegment(SegmentKind::kMicroMiddle, mix().accumulation_count - 2, /*first=*/false);
    if (several) AddMicroSegment(SegmentKind::kMicroLast, 1, /*first=*/false);
  }

  std::vector<LayerRange> LayerRanges() const {
    std::vector<LayerRange> ranges;
    for (int64_t layer = 0; layer < model_.layer_count; ++layer) {
      // With frozen weights below the first adapter nothing asks for the gradient of layer 0's input.
      const bool input_gradient = Full() || layer > 0;
      const Rung rung = RungOfLayer(mix(), layer);
      if (ranges.empty() || ranges.back().rung != rung ||
          ranges.back().input_gradient != input_gradient)
        ranges.push_back({.first = layer, .rung = rung, .input_gradient = input_gradient});
      ++ranges.back().count;
    }
    return ranges;
  }

  void AddLayerBlocks() {
    ranges_ = LayerRanges();
    for (LayerRange& range : ranges_) {
      const LayerBindings bindings{
          .input = {block_input_, 0},
          .output = {block_input_, 1},
          .input_gradient = range.input_gradient ? BufferRef{stream_, 0} : BufferRef{},
          .output_gradient = {stream_, 0},
          .positions = {program_.host.positions, 0},
          .document_starts = {program_.host.document_starts, 0}};
      const ForwardGraph graph = DecoderLayer(program_, parameters_, bindings);
      const SavedSet saved =
          SaveForBackward(program_, graph, range.rung, "layers.{}.", range.first, range.count);
      range.forward_block = AddForwardBlock(program_, graph, saved, "layer", Phase::kForward);
      range.backward_first =
          AddBackwardBlock(program_, graph, saved, "layer", /*accumulate=*/false);
      if (mix().accumulation_count > 1)
        range.backward_next =
            AddBackwardBlock(program_, graph, saved, "layer", /*accumulate=*/true);
    }
  }

  void AddEmbeddingBlocks() {
    ForwardGraph graph(program_);
    const ValueId x = graph.Embedding("embedded", graph.Bind("tokens", {program_.host.tokens, 0}),
                                      graph.Weight(parameters_.embedding));
    graph.BindOutput(x, {block_input_, 0}, {stream_, 0});
    const SavedSet saved = SaveNothing(graph);
    embed_forward_ = AddForwardBlock(program_, graph, saved, "embedding", Phase::kForward);
    if (!Full()) return;
    embed_backward_first_ =
        AddBackwardBlock(program_, graph, saved, "embedding", /*accumulate=*/model_.tied_head);
    embed_backward_next_ =
        AddBackwardBlock(program_, graph, saved, "embedding", /*accumulate=*/true);
  }

  void AddMicroSegment(SegmentKind kind, int64_t repeat_count, bool first) {
    Segment segment{.kind = kind, .repeat_count = repeat_count};
    segment.runs.push_back({.block = embed_forward_, .first = 0, .count = 1});
    for (const LayerRange& r : ranges_)
      segment.runs.push_back({.block = r.forward_block, .first = r.first, .count = r.count});
    const LossBindings bindings{.input = {block_input_, 0},
                                .normed = stream_,
                                .rstd = final_rstd_,
                                .labels = program_.host.labels,
                                .loss_scale = program_.host.loss_scale,
                                .loss_sum = program_.host.loss_sum,
                                .instance = model_.layer_count};
    const int64_t chunk_rows = mix().loss == LossKernel::kChunked ? kLossChunkRowCount : Rows();
    AddTrainingLoss(program_, parameters_, bindings, chunk_rows, /*accumulate=*/!first,
                    segment.runs);
    for (auto r = ranges_.rbegin(); r != ranges_.rend(); ++r) {
      segment.runs.push_back({.block = first ? r->backward_first : r->backward_next,
                              .first = r->first + r->count - 1,
                              .count = r->count,
                              .step = -1});
    }
    if (Full())
      segment.runs.push_back(
          {.block = first ? embed_backward_first_ : embed_backward_next_, .first = 0, .count = 1});
    program_.segments.push_back(std::move(segment));
  }

  // ---- Evaluation and generation --------------------------------------------------------------------------------------------------

  void AddEvaluation() {
    const uint32_t segments = Bit(SegmentKind::kEvaluate);
    const int32_t x = AddCarried("evaluate_stream", ComputeDType(program_.inputs),
                                 Matrix(Rows(), model_.hidden_size), segments);
    Segment segment{.kind = SegmentKind::kEvaluate};
    AddForwardOnly(segment,
                   {.input = {x, 0},
                    .output = {x, 0},
                    .positions = {program_.host.positions, 0},
                    .document_starts = {program_.host.document_starts, 0}},
                   program_.host.tokens, Phase::kEvaluate);
    AddEvaluationLoss(program_, parameters_,
                      {.input = {x, 0},
                       .normed = x,
                       .labels = program_.host.labels,
                       .loss_sum = program_.host.loss_sum},
                      kLossChunkRowCount, segment.runs);
    program_.segments.push_back(std::move(segment));
  }

  void AddGeneration() {
    const uint32_t segments = Bit(SegmentKind::kGenerate);
    const DType compute = ComputeDType(program_.inputs);
    const int32_t x =
        AddCarried("generate_stream", compute, Matrix(1, model_.hidden_size), segments);
    const Shape cache = Matrix(workload().context, model_.kv_head_count * model_.head_size);
    const int32_t keys =
        AddCarried("layers.{}.key_cache", compute, cache, segments, model_.layer_count);
    const int32_t values =
        AddCarried("layers.{}.value_cache", compute, cache, segments, model_.layer_count);
    Segment segment{.kind = SegmentKind::kGenerate};
    AddForwardOnly(segment,
                   {.input = {x, 0},
                    .output = {x, 0},
                    .positions = {program_.host.generate_position, 0},
                    .key_cache = {keys, 0},
                    .value_cache = {values, 0}},
                   program_.host.generate_token, Phase::kGenerate);
    AddNextToken(program_, parameters_, {x, 0}, program_.host.generated_token, segment.runs);
    program_.segments.push_back(std::move(segment));
  }

  // Embedding and all layers with nothing saved.
  void AddForwardOnly(Segment& segment, const LayerBindings& bindings, int32_t tokens,
                      Phase phase) {
    ForwardGraph embed(program_);
    const ValueId x = embed.Embedding("embedded", embed.Bind("tokens", {tokens, 0}),
                                      embed.Weight(parameters_.embedding));
    embed.BindOutput(x, bindings.input);
    segment.runs.push_back(
        {.block = AddForwardBlock(program_, embed, SaveNothing(embed), "embedding", phase),
         .first = 0,
         .count = 1});
    const ForwardGraph layer = DecoderLayer(program_, parameters_, bindings);
    segment.runs.push_back(
        {.block = AddForwardBlock(program_, layer, SaveNothing(layer), "layer", phase),
         .first = 0,
         .count = model_.layer_count});
  }

  // A local has an address for every run index of its block.
  void CountLocals() {
    for (const Segment& segment : program_.segments) {
      for (const BlockRun& run : segment.runs) {
        for (int32_t local : program_.blocks[static_cast<size_t>(run.block)].locals) {
          Buffer& b = program_.buffers[static_cast<size_t>(local)];
          b.first_instance = run.step > 0 ? run.first : run.first - run.count + 1;
          b.instance_count = run.count;
        }
      }
    }
  }

  Program program_;
  const ModelSpec& model_;
  ModelParameters parameters_;
  std::vector<LayerRange> ranges_;
  int32_t block_input_ = -1, stream_ = -1, final_rstd_ = -1, square_sum_ = -1, clip_factor_ = -1;
  int32_t embed_forward_ = -1, embed_backward_first_ = -1, embed_backward_next_ = -1;
};

// Axis values that mixes can spell but programs are not built with yet: refused rather than priced as something else.
absl::Status CheckBuilt(const ProgramInputs& inputs) {
  const Mix& m = inputs.mix;
  const bool cpu = inputs.backend.kind == BackendKind::kCpu;
  const auto refuse = [](const char* what) {
    return absl::UnimplementedError(
        absl::StrCat(what, " is not built yet; leave it out of the mix"));
  };
  if (m.zero_stage != 0) return refuse("zero_stage above 0");
  if (m.recompute[static_cast<size_t>(Rung::kHost)] > 0) return refuse("recompute=host");
  if (m.mlp_tile_count != 1) return refuse("mlp_tiles above 1");
  if (m.optimizer_state != OptimizerState::kFp32) return refuse("optimizer_state other than fp32");
  if (cpu && m.precision != Precision::kFp32) return refuse("precision=bf16 on a CPU");
  if (cpu && m.accumulation_dtype != AccumulationDtype::kFp32)
    return refuse("accumulation=bf16 on a CPU");
  return absl::OkStatus();
}

absl::Status CheckInputs(const ProgramInputs& inputs) {
  const Workload& w = inputs.workload;
  const Mix& m = inputs.mix;
  TUNESMITH_RETURN_IF_ERROR(ValidateWorkload(w, inputs.model));
  if (m.micro_batch * m.accumulation_count * m.data_parallel != w.rows_per_step) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch: micro_batch(", m.micro_batch, ") x accumulation(", m.accumulation_count,
        ") x data_parallel(", m.data_parallel, ") != rows per step(", w.rows_per_step, ")"));
  }
  TUNESMITH_RETURN_IF_ERROR(
      CheckedMultiply(m.micro_batch, w.context, "micro_batch x context").status());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Program> BuildProgram(const ProgramInputs& inputs) {
  TUNESMITH_RETURN_IF_ERROR(ValidateModelSpec(inputs.model));
  TUNESMITH_RETURN_IF_ERROR(ValidateMix(inputs.mix, inputs.model.layer_count));
  TUNESMITH_RETURN_IF_ERROR(CheckInputs(inputs));
  TUNESMITH_RETURN_IF_ERROR(CheckBuilt(inputs));
  return ProgramBuilder(inputs).Build();
}

}  // namespace tunesmith::planner
