#include "planner/program/training_segments.h"

#include <vector>

#include "planner/program/add_buffer.h"
#include "planner/program/collectives.h"
#include "planner/program/derive_blocks.h"
#include "planner/program/embedding_graph.h"
#include "planner/program/layer_blocks.h"
#include "planner/program/loss_blocks.h"
#include "planner/program/token_slice.h"

namespace tunesmith::planner {
namespace {

class MicroBuilder {
 public:
  MicroBuilder(Program& program, const ModelParameters& parameters, bool layers)
      : program_(program), parameters_(parameters), with_layers_(layers) {}

  std::vector<BlockRun> Build() {
    buffers_ = AddLayerBuffers(program_);
    AddEmbedding();
    std::vector<LayerBlocks> layers;
    if (with_layers_) layers = AddAllLayerBlocks(program_, parameters_, buffers_);
    for (const LayerBlocks& l : layers)
      runs_.push_back({.block = l.forward, .first = l.first, .count = l.count});
    AddLoss();
    for (auto l = layers.rbegin(); l != layers.rend(); ++l)
      runs_.push_back(
          {.block = l->backward, .first = l->first + l->count - 1, .count = l->count, .step = -1});
    if (embedding_backward_ >= 0)
      runs_.push_back({.block = embedding_backward_, .first = 0, .count = 1});
    ShareEnds(program_, runs_);
    return std::move(runs_);
  }

 private:
  const Mix& mix() const { return program_.inputs.mix; }
  int64_t Rows() const { return SliceTokenCount(mix(), program_.inputs.workload); }

  void AddEmbedding() {
    const int32_t output = buffers_.slots >= 0 ? buffers_.slots : buffers_.block_input;
    const ForwardGraph graph = EmbeddingGraph(program_, parameters_,
                                              {.tokens = {program_.host.tokens, 0},
                                               .positions = {program_.host.positions, 0},
                                               .output = {output, 0},
                                               .output_gradient = {buffers_.stream, 0}});
    const SavedSet saved = SaveNothing(graph);
    const int32_t forward = AddForwardBlock(program_, graph, saved, "embedding", Phase::kForward);
    // The last micro-batch's copies may still read the slot that this one writes.
    if (buffers_.slots >= 0 && CopiesOverlap(program_.inputs.backend))
      program_.blocks[static_cast<size_t>(forward)].ops.front().waits |=
          1u << static_cast<int>(Stream::kDeviceToHost);
    runs_.push_back({.block = forward, .first = 0, .count = 1});
    if (mix().method != Method::kFull) return;
    embedding_backward_ = AddBackwardBlock(program_, graph, saved, "embedding",
                                           /*gradients_exist=*/program_.inputs.model.tied_head);
  }

  void AddLoss() {
    LossBindings bindings = BindTrainingLoss(program_, buffers_.stream, kMicroSegments);
    bindings.input = {buffers_.block_input, 0};
    bindings.instance = program_.inputs.model.layer_count;
    const int64_t chunk_rows = mix().loss == LossKernel::kChunked ? kLossChunkRowCount : Rows();
    AddTrainingLoss(program_, parameters_, bindings, chunk_rows, runs_);
  }

  Program& program_;
  const ModelParameters& parameters_;
  const bool with_layers_;
  LayerBuffers buffers_;
  std::vector<BlockRun> runs_;
  int32_t embedding_backward_ = -1;
};

}  // namespace

void AddTrainingSegments(Program& program, const ModelParameters& parameters, bool layers) {
  const std::vector<BlockRun> runs = MicroBuilder(program, parameters, layers).Build();
  const int64_t count = program.inputs.mix.accumulation_count;
  const auto add = [&](SegmentKind kind, int64_t repeat_count) {
    program.segments.push_back({.kind = kind, .repeat_count = repeat_count, .runs = runs});
  };
  add(SegmentKind::kMicroFirst, 1);
  if (count > 2) add(SegmentKind::kMicroMiddle, count - 2);
  if (count > 1) add(SegmentKind::kMicroLast, 1);
}

}  // namespace tunesmith::planner
