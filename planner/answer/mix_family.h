#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/answer/layer_summary.h"
#include "planner/answer/step_summary.h"
#include "planner/price/price.h"
#include "planner/program/program.h"

// Mixes that differ in nothing but how many layers take which recompute rung, priced without building their programs: a mix composes the
// summaries of its layers. The composed bytes and picoseconds equal those of the whole program exactly.
namespace tunesmith::planner {

using RecomputeCounts = std::array<int64_t, kRungCount>;  // layers by Rung

// Summaries that several families of one question share.
class SummaryCache {
 public:
  explicit SummaryCache(const PriceTable& prices) : prices_(prices) {}

  std::shared_ptr<LayerSummaries> Layers(const ProgramInputs& inputs);
  absl::StatusOr<std::shared_ptr<const StepSummary>> Step(const ProgramInputs& inputs);

 private:
  const PriceTable& prices_;
  std::map<std::tuple<Method, AttentionKernel, int64_t, int64_t, int64_t>,
           std::shared_ptr<LayerSummaries>>
      layers_;
  std::map<
      std::tuple<Method, LossKernel, int64_t, int64_t, bool, int64_t, Offload, int64_t, int64_t>,
      std::shared_ptr<const StepSummary>>
      steps_;
};

struct ComposedMix {
  int64_t arena_bytes = 0;  // of the device
  int64_t host_bytes = 0;   // of the host's arena
  StepPrice price;
};

class MixFamily {
 public:
  // `inputs.mix.recompute` is ignored; all inputs given to one cache must agree in everything but the mix's placement axes and method. `prices`
  // must outlive the family. Errors as BuildProgram.
  static absl::StatusOr<MixFamily> Create(const ProgramInputs& inputs, const PriceTable& prices,
                                          SummaryCache& cache);

  // Makes what the bounds below need of a rung, LeastBackwardBytes apart. REQUIRES that before they are asked of it.
  void Outline(Rung rung);
  // Makes what Compose and LeastBackwardBytes need of a rung, and its outline. REQUIRES that for every rung that counts name.
  void Prepare(Rung rung);

  // Layers from the first on that were given their rungs.
  struct GivenLayers {
    int64_t count = 0;
    int64_t host_count = 0;  // of them on the host rung
    int64_t arena_bytes =
        0;  // the most that the device's arena holds while one of them runs, whatever rungs the others take
    int64_t frame_bytes = 0;  // what they save, beside their inputs
    int64_t forward_picoseconds = 0;
    int64_t backward_first_picoseconds = 0;
    int64_t backward_later_picoseconds = 0;
  };
  // Gives the next `count` layers a rung. REQUIRES: Prepare(rung); rungs come in the order in which they keep more, each once.
  void Give(Rung rung, int64_t count, GivenLayers& given) const;

  // REQUIRES: recompute sums to the model's layers.
  ComposedMix Compose(const RecomputeCounts& recompute) const;
  // The same where the counts were given one after the other.
  ComposedMix Compose(const RecomputeCounts& recompute, const GivenLayers& given) const;

  // No mix of the family is quicker: other rungs than the one that keeps everything only add ops. A first look, for less than an outline.
  int64_t LeastStepPicoseconds();

  // For bounds. What a layer at `rung` takes of the stack, its input included, and of compute time in a step; for any layer but layer 0 (which
  // may have no use for the gradient of its input) and the last on the host rung.
  int64_t StackBytes(Rung rung) const;
  int64_t ComputePicoseconds(Rung rung) const {
    return rung_picoseconds_[static_cast<size_t>(rung)];
  }
  // What those special layers save against that, at most; not positive.
  int64_t StackDiscountBytes(Rung rung) const;
  int64_t ComputeDiscountPicoseconds(Rung rung) const;
  // All that is on the device beside the stack at the end of forward, and no less than all else at that instant.
  int64_t LossBaseBytes() const;
  // Beside the stack while a layer at `rung` runs backward, when no other layer has done so yet.
  int64_t LeastBackwardBytes(Rung rung) const;
  // Of gradients that a layer's backward adds to those that stay; 0: all are there from the start.
  int64_t layer_gradient_bytes() const { return several() ? 0 : step_->layer_gradient_bytes; }
  // Needed whatever the rungs are.
  int64_t FloorBytes() const;
  // Time without the layers, with what is sure of the time that compute waits for other ranks.
  int64_t FixedPicoseconds() const { return fixed_picoseconds_; }
  // Price of a step whose streams end at `span_picoseconds`: monotone in it.
  int64_t StepPicoseconds(int64_t span_picoseconds) const;
  // Whether two prepared rungs have the same summaries, so that counts which swap them are the same mix twice.
  bool SameRung(Rung a, Rung b) const;

  // Whether compute may run beside what takes longer.
  bool hides_compute() const { return collectives().overlap; }

  // Of the host's arena, whatever the rungs are.
  int64_t host_bytes() const { return step_->host_bytes; }

  int64_t layer_count() const { return layer_count_; }
  int64_t block_input_bytes() const { return step_->block_input_bytes; }

 private:
  // A range of layers on the host rung: layers [0, count).
  struct HostRange {
    StreamMap forward = StreamMap::Identity();
    StreamMap backward_first = StreamMap::Identity();
    StreamMap backward_later = StreamMap::Identity();
    int64_t compute_picoseconds = 0;  // over all micro-batches
    int64_t copy_picoseconds = 0;
  };

  void PrepareHost();
  // Where the stack begins, above the slots of `host` layers on the host rung.
  int64_t StackBaseBytes(int64_t host) const;
  void AddLayers(const LayerSummary& summary, int64_t count, GivenLayers& given) const;
  void AddHostInstants(int64_t host, GivenLayers& given) const;
  StepWork WorkOf(const GivenLayers& layers) const;
  // Where ranks share parameters: what differs between layers, and layers alike in a row.
  struct LayerKind {
    Rung rung = Rung::kKeep;
    bool first = false;
    bool last = false;
    bool last_on_host = false;
  };
  struct LayerRange {
    const SharedLayer* layer = nullptr;
    int64_t count = 0;
  };
  static size_t IndexOf(const LayerKind& kind);
  void PrepareShared(Rung rung);
  SharedLayer MakeShared(const LayerKind& kind, const LayerTimes& times) const;
  std::vector<LayerRange> RangesOf(const RecomputeCounts& recompute) const;
  StepWork SharedWorkOf(const RecomputeCounts& recompute) const;
  StreamMap MicroMap(size_t micro, const std::vector<LayerRange>& ranges) const;
  StreamTimes AfterMicro(size_t micro, const std::vector<LayerRange>& ranges,
                         StreamTimes free) const;
  // How often a step has its first, middle and last micro-batch; the one of a step is its first.
  std::array<int64_t, 3> MicroCounts() const;
  // No less than a layer adds to a step. `special`: the first or the last, which may wait for no other rank.
  int64_t LayerPicoseconds(const LayerSummary& summary, bool special) const;
  int64_t WithoutLayersPicoseconds() const;
  int64_t WaitingPicoseconds() const;
  const Collectives& collectives() const { return step_->collectives; }
  bool several() const { return micro_batch_count_ > 1; }
  // Beyond so many micro-batches the power of a micro-batch's map is quicker than walking them.
  static constexpr int64_t kWalkedMicroCount = 16;
  int64_t gradients_before_layers() const {
    return several() ? step_->gradient_bytes : step_->gradients_before_layers_bytes;
  }

  const PriceTable* prices_ = nullptr;
  std::shared_ptr<LayerSummaries> source_;
  std::shared_ptr<const StepSummary> step_;
  int64_t evaluate_bytes_ = 0;  // -1: not asked for yet
  int64_t layer_count_ = 0;
  int64_t micro_batch_count_ = 1;
  bool copies_overlap_ = false;
  int64_t fixed_picoseconds_ = 0;
  std::array<int64_t, kRungCount> rung_picoseconds_ =
      {};  // of any layer but special ones, once outlined
  std::array<bool, kRungCount> outlined_ = {};
  std::array<LayerSummary, kRungCount> first_layer_ = {};  // layer 0
  std::array<LayerSummary, kRungCount> layer_ = {};        // every other
  std::vector<HostRange> host_ranges_;                     // by count, once prepared
  LayerSummary host_last_, host_only_;                     // the last of several; the one
  std::vector<std::optional<SharedLayer>> shared_layers_;  // by IndexOf
};

}  // namespace tunesmith::planner
