#include "planner/answer/step_summary.h"

#include <algorithm>

#include "common/status_macros.h"
#include "planner/program/build_program.h"
#include "planner/program/packed_block.h"

namespace tunesmith::planner {
namespace {

// A program of one layer: what belongs to layers counts for as many as the model has.
class StepSummarizer {
 public:
  StepSummarizer(const Program& program, int64_t layer_count, const PriceTable& prices)
      : program_(program), layer_count_(layer_count), prices_(prices) {}

  StepSummary Summarize() {
    s_.resident_bytes = BytesOf(Region::kResident, 0);
    s_.stack_base_bytes = s_.resident_bytes + CarriedBytes(SegmentKind::kMicroFirst);
    SummarizeGradients();
    SummarizeMicro();
    s_.evaluate_base_bytes = s_.resident_bytes + CarriedBytes(SegmentKind::kEvaluate);
    s_.evaluate_local_bytes = MostLocalBytes(SegmentKind::kEvaluate, /*layers=*/false);
    s_.generate_bytes = SegmentBytes(SegmentKind::kGenerate);
    s_.save_bytes = SegmentBytes(SegmentKind::kSave);
    s_.optimizer_bytes = SegmentBytes(SegmentKind::kOptimizer) + s_.gradient_bytes;
    s_.first = MicroOf(SegmentKind::kMicroFirst);
    s_.later = MicroOf(SegmentKind::kMicroLast);
    s_.optimizer_picoseconds = OptimizerPicoseconds();
    return s_;
  }

 private:
  const Block& block(const BlockRun& run) const {
    return program_.blocks[static_cast<size_t>(run.block)];
  }
  const Segment* Find(SegmentKind kind) const {
    const auto found = std::find_if(program_.segments.begin(), program_.segments.end(),
                                    [kind](const Segment& s) { return s.kind == kind; });
    return found == program_.segments.end() ? nullptr : &*found;
  }

  int64_t Count(const Buffer& b) const {
    return b.name.HasInstance() ? b.instance_count * layer_count_ : b.instance_count;
  }

  int64_t BytesOf(Region region, uint32_t segments) const {
    int64_t bytes = 0;
    for (const Buffer& b : program_.buffers) {
      if (b.region == region && (region != Region::kCarried || (b.segments & segments) != 0))
        bytes += AlignedInstanceBytes(b) * Count(b);
    }
    return bytes;
  }
  int64_t CarriedBytes(SegmentKind kind) const {
    return BytesOf(Region::kCarried, 1u << static_cast<int>(kind));
  }

  void SummarizeGradients() {
    const ProgramInputs& in = program_.inputs;
    s_.gradient_bytes = BytesOf(Region::kGradient, 0);
    for (const Buffer& b : program_.buffers) {
      // The inputs of the one layer, and its output.
      if (b.region == Region::kSaved && b.instance_count == 2)
        s_.block_input_bytes = AlignedInstanceBytes(b);
      s_.loss_input_bytes = program_.host.loss_rows < 0 ? s_.block_input_bytes : 0;
      if (b.region != Region::kGradient) continue;
      s_.exchanged_bytes += InstanceBytes(b) * Count(b);
      if (b.name.HasInstance()) s_.layer_gradient_bytes += AlignedInstanceBytes(b);
    }
    if (in.mix.method != Method::kFull) return;
    // The head and the final norm are written before the layers, an untied embedding after them.
    for (const Parameter& p : program_.parameters) {
      const Buffer& gradient = program_.buffers[static_cast<size_t>(p.gradient)];
      if (gradient.name.HasInstance()) continue;
      const bool embedding = gradient.name == "model.embed_tokens.weight.gradient",
                 norm = gradient.name == "model.norm.weight.gradient";
      if (embedding && !in.model.tied_head) continue;
      s_.gradients_before_layers_bytes += AlignedInstanceBytes(gradient);
      if (!norm) s_.head_gradient_bytes = AlignedInstanceBytes(gradient);
    }
  }

  void SummarizeMicro() {
    bool backward = false;
    for (const BlockRun& run : Find(SegmentKind::kMicroFirst)->runs) {
      const Block& b = block(run);
      if (b.name == "layer") continue;
      const int64_t bytes = PackedBytes(program_, b);
      int64_t& most = b.name == "embedding"
                          ? (backward ? s_.embed_backward_local_bytes : s_.embed_local_bytes)
                      : b.name == "loss" ? s_.loss_local_bytes
                                         : s_.norm_local_bytes;
      most = std::max(most, bytes);
      backward |= b.name == "loss";
    }
  }

  int64_t MostLocalBytes(SegmentKind kind, bool layers) const {
    const Segment* segment = Find(kind);
    int64_t most = 0;
    if (segment == nullptr) return 0;
    for (const BlockRun& run : segment->runs) {
      if (layers || block(run).name != "layer")
        most = std::max(most, PackedBytes(program_, block(run)));
    }
    return most;
  }

  int64_t SegmentBytes(SegmentKind kind) const {
    if (Find(kind) == nullptr) return 0;
    return s_.resident_bytes + CarriedBytes(kind) + MostLocalBytes(kind, /*layers=*/true);
  }

  StepSummary::Micro MicroOf(SegmentKind kind) const {
    StepSummary::Micro micro;
    const Segment* segment = Find(kind);
    if (segment == nullptr) return micro;
    bool backward = false;
    for (const BlockRun& run : segment->runs) {
      const Block& b = block(run);
      if (b.name == "layer") continue;
      const int64_t time = run.count * prices_.Price(program_, b, kind).compute_picoseconds;
      (b.name != "embedding" ? micro.loss_picoseconds
       : backward            ? micro.embed_backward_picoseconds
                             : micro.embed_picoseconds) += time;
      backward |= b.name == "loss";
    }
    return micro;
  }

  // Runs over layers' parameters repeat once per layer.
  int64_t OptimizerPicoseconds() const {
    int64_t time = 0;
    for (const BlockRun& run : Find(SegmentKind::kOptimizer)->runs) {
      const Op& op = block(run).ops[0];
      const bool per_layer =
          op.input_count > 0 &&
          program_.buffers[static_cast<size_t>(op.inputs[0].buffer)].name.HasInstance();
      time += (per_layer ? layer_count_ : run.count) *
              prices_.Price(program_, block(run), SegmentKind::kOptimizer).compute_picoseconds;
    }
    return time;
  }

  const Program& program_;
  const int64_t layer_count_;
  const PriceTable& prices_;
  StepSummary s_;
};

}  // namespace

absl::StatusOr<StepSummary> SummarizeStep(const ProgramInputs& inputs, const PriceTable& prices) {
  ProgramInputs small = inputs;
  small.model.layer_count = 1;
  small.mix.recompute = {};
  small.mix.recompute[static_cast<size_t>(Rung::kKeep)] = 1;
  TUNESMITH_ASSIGN_OR_RETURN(const Program program, BuildFrame(small));
  return StepSummarizer(program, inputs.model.layer_count, prices).Summarize();
}

}  // namespace tunesmith::planner
