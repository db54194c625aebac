#include <utility>

#include "planner/program/add_buffer.h"
#include "planner/program/collectives.h"
#include "planner/program/decoder_layer.h"
#include "planner/program/derive_blocks.h"
#include "planner/program/embedding_graph.h"
#include "planner/program/loss_blocks.h"
#include "planner/program/token_slice.h"
#include "planner/program/training_segments.h"

namespace tunesmith::planner {
namespace {

// Embedding and all layers with nothing saved.
void AddForwardOnly(Program& program, const ModelParameters& parameters,
                    const LayerBindings& bindings, int32_t tokens, Phase phase, Segment& segment) {
  const ForwardGraph embed = EmbeddingGraph(
      program, parameters,
      {.tokens = {tokens, 0}, .positions = bindings.positions, .output = bindings.input});
  segment.runs.push_back(
      {.block = AddForwardBlock(program, embed, SaveNothing(embed), "embedding", phase),
       .first = 0,
       .count = 1});
  const ForwardGraph layer = DecoderLayer(program, parameters, bindings);
  segment.runs.push_back(
      {.block = AddForwardBlock(program, layer, SaveNothing(layer), "layer", phase),
       .first = 0,
       .count = program.inputs.model.layer_count});
}

}  // namespace

void AddEvaluateSegment(Program& program, const ModelParameters& parameters) {
  const int64_t rows = SliceTokenCount(program.inputs.mix, program.inputs.workload);
  const int32_t x =
      AddCarried(program, "evaluate_stream", ComputeDType(program.inputs),
                 Matrix(rows, program.inputs.model.hidden_size), Bit(SegmentKind::kEvaluate));
  Segment segment{.kind = SegmentKind::kEvaluate};
  AddForwardOnly(program, parameters,
                 {.input = {x, 0},
                  .output = {x, 0},
                  .positions = {program.host.positions, 0},
                  .document_starts = {program.host.document_starts, 0}},
                 program.host.tokens, Phase::kEvaluate, segment);
  AddEvaluationLoss(program, parameters,
                    BindEvaluationLoss(program, x, Bit(SegmentKind::kEvaluate)), kLossChunkRowCount,
                    segment.runs);
  ShareForwardOnly(program, segment.runs);
  program.segments.push_back(std::move(segment));
}

void AddGenerateSegment(Program& program, const ModelParameters& parameters) {
  const ModelSpec& model = program.inputs.model;
  const uint32_t segments = Bit(SegmentKind::kGenerate);
  const DType compute = ComputeDType(program.inputs);
  const int32_t x =
      AddCarried(program, "generate_stream", compute, Matrix(1, model.hidden_size), segments);
  const Shape cache =
      Matrix(program.inputs.workload.context, model.kv_head_count * model.head_size);
  const int32_t keys =
      AddCarried(program, "layers.{}.key_cache", compute, cache, segments, model.layer_count);
  const int32_t values =
      AddCarried(program, "layers.{}.value_cache", compute, cache, segments, model.layer_count);
  Segment segment{.kind = SegmentKind::kGenerate};
  AddForwardOnly(program, parameters,
                 {.input = {x, 0},
                  .output = {x, 0},
                  .positions = {program.host.generate_position, 0},
                  .key_cache = {keys, 0},
                  .value_cache = {values, 0}},
                 program.host.generate_token, Phase::kGenerate, segment);
  AddNextToken(program, parameters, {x, 0}, program.host.generated_token, segment.runs);
  ShareForwardOnly(program, segment.runs);
  program.segments.push_back(std::move(segment));
}

}  // namespace tunesmith::planner
