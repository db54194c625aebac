#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "planner/program/program.h"

// Mixes that differ in nothing but how many layers take which recompute rung, priced without building their programs. One two-layer program per
// rung is summarized; a mix composes the summaries. The composed bytes and picoseconds equal those of the whole program exactly.
namespace tunesmith::planner {

// The rungs that step programs are built with. kHost waits for offload.
inline constexpr int kBuiltRungCount = static_cast<int>(Rung::kBlock) + 1;

// A layer at one rung.
struct LayerSummary {
  int64_t saved_bytes = 0;  // beside the block's input
  int64_t forward_local_bytes = 0;
  int64_t backward_local_bytes = 0;
  int64_t forward_picoseconds = 0;
  int64_t backward_first_picoseconds = 0;  // first micro-batch of a step
  int64_t backward_next_picoseconds = 0;
};

struct ComposedMix {
  int64_t arena_bytes = 0;
  StepPrice price;
};

class MixFamily {
 public:
  // `inputs.mix.recompute` is ignored. Errors as BuildProgram.
  static absl::StatusOr<MixFamily> Create(const ProgramInputs& inputs, const PriceTable& prices);

  // REQUIRES: recompute sums to the model's layers and gives kHost none.
  ComposedMix Compose(const std::array<int64_t, kRungCount>& recompute,
                      const PriceTable& prices) const;

  // What the loss instant alone needs: all saved activations and the loss block. No less than this is the arena of any mix that saves as much.
  int64_t LossInstantBytes(const std::array<int64_t, kRungCount>& recompute) const;

  int64_t layer_count() const { return layer_count_; }
  // No rung makes a layer quicker than keeping everything.
  bool KeepingIsQuickest() const;

 private:
  // What does not depend on the rungs; bytes of whole segments or instants with everything but layers' frames and locals.
  struct Fixed {
    int64_t resident_bytes = 0;
    int64_t stack_base_bytes = 0;  // resident + carried of the micro segments
    int64_t block_input_bytes = 0;
    int64_t embed_local_bytes = 0;
    int64_t loss_local_bytes = 0;  // with the head's gradient where it is born there
    int64_t layer_gradient_bytes = 0;
    int64_t gradients_before_layers_bytes = 0;  // head and final norm
    int64_t gradient_bytes = 0;                 // all
    int64_t head_gradient_bytes = 0;
    int64_t norm_local_bytes = 0;
    int64_t embed_backward_local_bytes = 0;
    int64_t evaluate_bytes = 0;
    int64_t generate_bytes = 0;
    int64_t save_bytes = 0;
    int64_t exchanged_bytes = 0;    // gradients without padding
    int64_t first_picoseconds = 0;  // micro segments less their layers, and the optimizer
    int64_t next_picoseconds = 0;
    int64_t optimizer_picoseconds = 0;
  };
  friend class FamilySummarizer;

  int64_t layer_count_ = 0;
  int64_t accumulation_count_ = 1;
  int64_t data_parallel_ = 1;
  std::array<LayerSummary, kBuiltRungCount> first_layer_ = {};  // layer 0
  std::array<LayerSummary, kBuiltRungCount> layer_ = {};        // every other
  Fixed fixed_;
};

}  // namespace tunesmith::planner
