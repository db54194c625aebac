#include "planner/answer/step_summary.h"

#include <algorithm>

#include "common/status_macros.h"
#include "planner/program/buckets.h"
#include "planner/program/build_program.h"
#include "planner/program/collectives.h"
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
    s_.host_bytes = BytesOf(Region::kResident, 0, Space::kHost);
    s_.stack_base_bytes = s_.resident_bytes + CarriedBytes(SegmentKind::kMicroFirst);
    SummarizeGradients();
    SummarizeMicro();
    s_.evaluate_base_bytes = s_.resident_bytes + CarriedBytes(SegmentKind::kEvaluate);
    s_.evaluate_local_bytes = MostLocalBytes(SegmentKind::kEvaluate, /*layers=*/false);
    s_.generate_bytes = SegmentBytes(SegmentKind::kGenerate);
    s_.save_bytes = SegmentBytes(SegmentKind::kSave);
    s_.optimizer_bytes = SegmentBytes(SegmentKind::kOptimizer) + s_.gradient_bytes;
    s_.micros[0] = MicroOf(SegmentKind::kMicroFirst);
    s_.micros[2] = MicroOf(SegmentKind::kMicroLast);
    s_.micros[1] = program_.buckets.empty() ? s_.micros[2] : MicroOf(SegmentKind::kMicroMiddle);
    s_.optimizer = OptimizerPrice();
    SummarizeCollectives();
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
    const int64_t count = b.name.HasInstance() ? b.instance_count * layer_count_ : b.instance_count;
    return b.ring_count > 0 ? std::min(b.ring_count, count) : count;
  }

  int64_t BytesOf(Region region, uint32_t segments, Space space = Space::kDevice) const {
    int64_t bytes = 0;
    for (const Buffer& b : program_.buffers) {
      if (b.region == region && b.space == space &&
          (region != Region::kCarried || (b.segments & segments) != 0))
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
      if (b.name.HasInstance()) s_.layer_gradient_bytes += AlignedInstanceBytes(b);
    }
    if (!program_.buckets.empty()) return SummarizeBuckets();
    if (in.mix.method != Method::kFull) return;
    for (const Parameter& p : program_.parameters) {
      const Buffer& gradient = program_.buffers[static_cast<size_t>(p.gradient)];
      if (p.birth >= GradientBirth::kLayer) continue;
      s_.gradients_before_layers_bytes += AlignedInstanceBytes(gradient);
      if (p.birth == GradientBirth::kHead) s_.head_gradient_bytes += AlignedInstanceBytes(gradient);
    }
  }

  // A bucket's gradients are born with the first of its parts, or, where ranks share them, when these are summed.
  void SummarizeBuckets() {
    const bool shares = SharesGradients(program_.inputs);
    for (const Bucket& bucket : program_.buckets) {
      if (!bucket.trainable || bucket.place == BucketPlace::kLayer) continue;
      const bool at_head =
          bucket.place == BucketPlace::kHead || (program_.inputs.model.tied_head && !shares);
      if (!at_head) continue;
      const Buffer& gradients =
          program_.buffers[static_cast<size_t>(shares ? bucket.gradient_shard : bucket.gradients)];
      if (gradients.region != Region::kGradient) continue;
      const int64_t bytes = AlignedInstanceBytes(gradients);
      s_.gradients_before_layers_bytes += bytes;
      if (!shares) s_.head_gradient_bytes += bytes;
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
    // The micro-batches of a step run the same blocks; how many there are is not the summary's.
    const Segment* segment =
        Find(kind == SegmentKind::kMicroMiddle ? SegmentKind::kMicroLast : kind);
    if (segment == nullptr) return micro;
    bool backward = false;
    for (const BlockRun& run : segment->runs) {
      const Block& b = block(run);
      if (b.name == "layer") continue;
      (b.name != "embedding" ? micro.loss
       : backward            ? micro.embed_backward
                             : micro.embed)
          .Then(prices_.Price(program_, b, kind), run.count);
      backward |= b.name == "loss";
    }
    return micro;
  }

  // Runs over layers' parameters repeat once per layer.
  BlockPrice OptimizerPrice() const {
    BlockPrice price;
    for (const BlockRun& run : Find(SegmentKind::kOptimizer)->runs) {
      const Op& op = block(run).ops[0];
      const bool per_layer =
          op.input_count > 0 &&
          program_.buffers[static_cast<size_t>(op.inputs[0].buffer)].name.HasInstance();
      price.Then(prices_.Price(program_, block(run), SegmentKind::kOptimizer),
                 per_layer ? layer_count_ : run.count);
    }
    return price;
  }

  std::vector<Transfer> TransfersOf(const std::vector<Op>& ops) const {
    std::vector<Transfer> transfers;
    for (const Op& op : ops)
      transfers.push_back(
          {.stream = op.stream,
           .waits = op.waits,
           .between_ranks = IsCollective(op.kind),
           .last_micro_only = op.attributes.last_micro_only,
           .first_picoseconds = prices_.Picoseconds(program_, op, SegmentKind::kMicroFirst),
           .later_picoseconds = prices_.Picoseconds(program_, op, SegmentKind::kMicroLast)});
    return transfers;
  }

  void SummarizeCollectives() {
    const ProgramInputs& in = program_.inputs;
    Collectives& c = s_.collectives;
    c.any = HasBuckets(in);
    if (!c.any) return;
    c.overlap = CopiesOverlap(in.backend);
    c.gathers = SharesWeights(in);
    c.gathers_late = GathersLate(in);
    c.writes_slots = SharesGradients(in);
    if (c.overlap) {
      c.weight_waits = WeightWaits(in);
      c.backward_waits = BackwardWaits(in);
    }
    const auto of = [&](BucketPlace place) {
      return PlaceTransfers{.gathers = TransfersOf(Gathers(program_, place, 0, Phase::kForward)),
                            .reductions = TransfersOf(Reductions(program_, place))};
    };
    c.embedding = of(BucketPlace::kEmbedding);
    c.layer = of(BucketPlace::kLayer);
    c.head = of(BucketPlace::kHead);
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
