#include "planner/answer/mix_family.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/units.h"
#include "planner/program/memory_plan.h"

namespace tunesmith::planner {
namespace {

int64_t AlignedBytes(const Buffer& b) { return AlignUp(InstanceBytes(b), kBufferAlignmentBytes); }

bool PerLayer(const Buffer& b) { return b.name.find("{}") != std::string::npos; }

}  // namespace

// Reads the summaries off small programs.
class FamilySummarizer {
 public:
  FamilySummarizer(const ProgramInputs& inputs, const PriceTable& prices)
      : inputs_(inputs), prices_(prices) {}

  absl::StatusOr<MixFamily> Summarize() {
    const int64_t layers = inputs_.model.layer_count, small_layers = std::min<int64_t>(layers, 2);
    family_.layer_count_ = layers;
    family_.accumulation_count_ = inputs_.mix.accumulation_count;
    family_.data_parallel_ = inputs_.mix.data_parallel;
    ProgramInputs small = inputs_;
    small.model.layer_count = small_layers;
    for (int rung = 0; rung < kBuiltRungCount; ++rung) {
      small.mix.recompute = {};
      small.mix.recompute[static_cast<size_t>(rung)] = small_layers;
      TUNESMITH_ASSIGN_OR_RETURN(program_, BuildProgram(small));
      SummarizeLayers(static_cast<size_t>(rung));
      if (rung == 0) SummarizeRest();
    }
    return std::move(family_);
  }

 private:
  const Block& block(int32_t id) const { return program_.blocks[static_cast<size_t>(id)]; }
  const Segment* Find(SegmentKind kind) const {
    for (const Segment& s : program_.segments) {
      if (s.kind == kind) return &s;
    }
    return nullptr;
  }
  static bool IsLayer(const Block& b) { return b.name == "layer"; }
  static bool Covers(const BlockRun& run, int64_t index) {
    return run.step > 0 ? index >= run.first && index < run.first + run.count
                        : index <= run.first && index > run.first - run.count;
  }

  void SummarizeLayers(size_t rung) {
    const int64_t last = program_.inputs.model.layer_count - 1;
    family_.first_layer_[rung] = SummaryOf(0);
    family_.layer_[rung] = SummaryOf(last);
  }

  LayerSummary SummaryOf(int64_t layer) {
    LayerSummary s;
    for (const Buffer& b : program_.buffers) {
      const bool frame =
          b.region == Region::kSaved && b.instance_count <= program_.inputs.model.layer_count;
      if (frame && layer >= b.first_instance && layer < b.first_instance + b.instance_count)
        s.saved_bytes += AlignedBytes(b);
    }
    ForLayerRuns(*Find(SegmentKind::kMicroFirst), layer, [&](const BlockRun& run) {
      const int64_t bytes = PackedLocalBytes(program_, block(run.block)),
                    time = prices_.Picoseconds(program_, block(run.block));
      (run.step > 0 ? s.forward_local_bytes : s.backward_local_bytes) = bytes;
      (run.step > 0 ? s.forward_picoseconds : s.backward_first_picoseconds) = time;
    });
    if (const Segment* next = Find(SegmentKind::kMicroLast)) {
      ForLayerRuns(*next, layer, [&](const BlockRun& run) {
        if (run.step < 0)
          s.backward_next_picoseconds = prices_.Picoseconds(program_, block(run.block));
      });
    }
    return s;
  }

  template <typename Visit>
  void ForLayerRuns(const Segment& segment, int64_t layer, Visit visit) const {
    for (const BlockRun& run : segment.runs) {
      if (IsLayer(block(run.block)) && Covers(run, layer)) visit(run);
    }
  }

  void SummarizeRest() {
    MixFamily::Fixed& f = family_.fixed_;
    f.resident_bytes = BytesOf(Region::kResident, ~0u);
    f.stack_base_bytes = f.resident_bytes + CarriedBytes(SegmentKind::kMicroFirst);
    f.gradient_bytes = BytesOf(Region::kGradient, ~0u);
    SummarizeGradients();
    SummarizeMicro();
    f.evaluate_bytes = BytesBetweenSteps(SegmentKind::kEvaluate);
    f.generate_bytes = BytesBetweenSteps(SegmentKind::kGenerate);
    f.save_bytes = BytesBetweenSteps(SegmentKind::kSave);
    f.first_picoseconds = TimeWithoutLayers(SegmentKind::kMicroFirst);
    f.next_picoseconds = TimeWithoutLayers(SegmentKind::kMicroLast);
    f.optimizer_picoseconds = OptimizerTime();
  }

  // Layers' buffers count for as many layers as the model has.
  int64_t Scale(const Buffer& b) const {
    return PerLayer(b) ? b.instance_count * family_.layer_count_ / program_.inputs.model.layer_count
                       : b.instance_count;
  }

  int64_t BytesOf(Region region, uint32_t segments) const {
    int64_t bytes = 0;
    for (const Buffer& b : program_.buffers) {
      if (b.region == region && (region != Region::kCarried || (b.segments & segments) != 0))
        bytes += AlignedBytes(b) * Scale(b);
    }
    return bytes;
  }

  int64_t CarriedBytes(SegmentKind kind) const {
    return BytesOf(Region::kCarried, 1u << static_cast<int>(kind));
  }

  void SummarizeGradients() {
    MixFamily::Fixed& f = family_.fixed_;
    for (const Buffer& b : program_.buffers) {
      if (b.region == Region::kSaved && b.instance_count == program_.inputs.model.layer_count + 1)
        f.block_input_bytes = AlignedBytes(b);
      if (b.region != Region::kGradient) continue;
      f.exchanged_bytes += InstanceBytes(b) * Scale(b);
      if (PerLayer(b)) f.layer_gradient_bytes += AlignedBytes(b);
    }
    // The head and the final norm are written before the layers, an untied embedding after them.
    const bool full = inputs_.mix.method == Method::kFull;
    for (const Buffer& b : program_.buffers) {
      if (b.region != Region::kGradient || PerLayer(b)) continue;
      const bool embedding = b.name == "model.embed_tokens.weight.gradient",
                 norm = b.name == "model.norm.weight.gradient";
      if (full && !norm && (!embedding || inputs_.model.tied_head))
        f.head_gradient_bytes = AlignedBytes(b);
      if (!embedding || inputs_.model.tied_head) f.gradients_before_layers_bytes += AlignedBytes(b);
    }
  }

  void SummarizeMicro() {
    MixFamily::Fixed& f = family_.fixed_;
    bool backward = false;
    for (const BlockRun& run : Find(SegmentKind::kMicroFirst)->runs) {
      const Block& b = block(run.block);
      const int64_t bytes = PackedLocalBytes(program_, b);
      if (b.name == "embedding")
        (backward ? f.embed_backward_local_bytes : f.embed_local_bytes) = bytes;
      if (b.name == "loss") f.loss_local_bytes = std::max(f.loss_local_bytes, bytes);
      if (b.name == "final_norm") f.norm_local_bytes = std::max(f.norm_local_bytes, bytes);
      backward |= b.name == "loss";
    }
  }

  int64_t BytesBetweenSteps(SegmentKind kind) const {
    const Segment* segment = Find(kind);
    if (segment == nullptr) return 0;
    int64_t most = 0;
    for (const BlockRun& run : segment->runs)
      most = std::max(most, PackedLocalBytes(program_, block(run.block)));
    return family_.fixed_.resident_bytes + CarriedBytes(kind) + most;
  }

  int64_t TimeWithoutLayers(SegmentKind kind) const {
    int64_t time = 0;
    const Segment* segment = Find(kind);
    if (segment == nullptr) return 0;
    for (const BlockRun& run : segment->runs) {
      if (!IsLayer(block(run.block)))
        time += run.count * prices_.Picoseconds(program_, block(run.block));
    }
    return time;
  }

  // Runs over layers' parameters repeat once per layer.
  int64_t OptimizerTime() const {
    int64_t time = 0;
    for (const BlockRun& run : Find(SegmentKind::kOptimizer)->runs) {
      const Op& op = block(run.block).ops[0];
      const bool per_layer = op.input_count > 0 &&
                             PerLayer(program_.buffers[static_cast<size_t>(op.inputs[0].buffer)]);
      time += (per_layer ? family_.layer_count_ : run.count) *
              prices_.Picoseconds(program_, block(run.block));
    }
    return time;
  }

  const ProgramInputs& inputs_;
  const PriceTable& prices_;
  MixFamily family_;
  Program program_;
};

absl::StatusOr<MixFamily> MixFamily::Create(const ProgramInputs& inputs, const PriceTable& prices) {
  return FamilySummarizer(inputs, prices).Summarize();
}

bool MixFamily::KeepingIsQuickest() const {
  const auto time = [](const LayerSummary& s) {
    return std::pair(s.forward_picoseconds + s.backward_first_picoseconds,
                     s.forward_picoseconds + s.backward_next_picoseconds);
  };
  const auto no_quicker = [&](const LayerSummary& s, const LayerSummary& keep) {
    return time(s).first >= time(keep).first && time(s).second >= time(keep).second;
  };
  const auto all = [&](const auto& layers) {
    return std::all_of(layers.begin(), layers.end(),
                       [&](const LayerSummary& s) { return no_quicker(s, layers[0]); });
  };
  return all(first_layer_) && all(layer_);
}

int64_t MixFamily::LossInstantBytes(const std::array<int64_t, kRungCount>& recompute) const {
  const Fixed& f = fixed_;
  int64_t frames = 0;
  bool first = true;
  for (size_t rung = kBuiltRungCount; rung-- > 0;) {
    const int64_t count = recompute[rung];
    if (count == 0) continue;
    frames += count * layer_[rung].saved_bytes +
              (first ? first_layer_[rung].saved_bytes - layer_[rung].saved_bytes : 0);
    first = false;
  }
  return f.stack_base_bytes + frames + (layer_count_ + 1) * f.block_input_bytes +
         f.loss_local_bytes + (accumulation_count_ > 1 ? f.gradient_bytes : f.head_gradient_bytes);
}

ComposedMix MixFamily::Compose(const std::array<int64_t, kRungCount>& recompute,
                               const PriceTable& prices) const {
  const Fixed& f = fixed_;
  const bool several = accumulation_count_ > 1;
  // Gradients live before the first layer's backward, and how many more each layer adds.
  const int64_t standing = several ? f.gradient_bytes : 0;
  const int64_t born = several ? 0 : f.layer_gradient_bytes;
  int64_t arena = std::max(
      {f.resident_bytes + f.gradient_bytes, f.evaluate_bytes, f.generate_bytes, f.save_bytes,
       f.stack_base_bytes + f.block_input_bytes + f.embed_local_bytes + standing,
       f.stack_base_bytes + f.embed_backward_local_bytes + f.gradient_bytes});
  int64_t frames = 0, layer = 0, forward_time = 0, backward_first_time = 0, backward_next_time = 0;
  const auto add_layers = [&](const LayerSummary& s, int64_t count) {
    if (count == 0) return;
    for (int64_t at : {layer, layer + count - 1}) {
      const int64_t below = f.stack_base_bytes + frames + (at - layer + 1) * s.saved_bytes;
      const int64_t before_layers = several ? f.gradient_bytes : f.gradients_before_layers_bytes;
      arena = std::max(arena,
                       below + (at + 2) * f.block_input_bytes + s.forward_local_bytes + standing);
      arena = std::max(arena, below + (at + 1) * f.block_input_bytes + s.backward_local_bytes +
                                  before_layers + (layer_count_ - at) * born);
    }
    frames += count * s.saved_bytes;
    forward_time += count * s.forward_picoseconds;
    backward_first_time += count * s.backward_first_picoseconds;
    backward_next_time += count * s.backward_next_picoseconds;
    layer += count;
  };
  for (int rung = kBuiltRungCount - 1; rung >= 0; --rung) {
    const int64_t count = recompute[static_cast<size_t>(rung)];
    if (count == 0) continue;
    const int64_t first = layer == 0 ? 1 : 0;
    if (first > 0) add_layers(first_layer_[static_cast<size_t>(rung)], 1);
    add_layers(layer_[static_cast<size_t>(rung)], count - first);
  }
  const int64_t full_stack = f.stack_base_bytes + frames + (layer_count_ + 1) * f.block_input_bytes;
  const int64_t norm = several ? f.gradient_bytes : f.gradients_before_layers_bytes;
  arena = std::max({arena, LossInstantBytes(recompute), full_stack + f.norm_local_bytes + norm});
  const int64_t first_time = f.first_picoseconds + forward_time + backward_first_time;
  const int64_t next_time = f.next_picoseconds + forward_time + backward_next_time;
  const int64_t compute =
      first_time + (accumulation_count_ - 1) * next_time + f.optimizer_picoseconds;
  return {.arena_bytes = arena,
          .price = ComposeStep(compute, f.exchanged_bytes, data_parallel_, prices)};
}

}  // namespace tunesmith::planner
