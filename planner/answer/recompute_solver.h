#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "planner/answer/mix_family.h"

namespace tunesmith::planner {

// Where compute hides behind what goes between ranks, many counts take the same time or nearly, and bounds cannot tell them apart: the quickest is then found to this
// share of its time.
inline constexpr double kHiddenComputeSlack = 1e-3;
// And where they say nothing at all, as when streams wait for each other in turn, after so many mixes of a family what was found is kept (docs/adr/0002).
inline constexpr int64_t kMostHiddenMixes = 5000;

struct SolvedRecompute {
  RecomputeCounts counts = {};
  ComposedMix composed;
};

// What the solver may choose from.
struct RecomputeLimits {
  uint32_t rungs = 0;            // bit set by Rung
  int64_t host_layer_count = 0;  // most layers on the host rung: what the host's memory allows
  absl::Time deadline = absl::InfiniteFuture();
};

// Chooses how many layers of a family take which rung, exactly: branch and bound over all counts, from the rung that keeps least down.
class RecomputeSolver {
 public:
  // `family` must outlive the solver; rungs of it are prepared as they are needed.
  RecomputeSolver(MixFamily& family, const RecomputeLimits& limits)
      : family_(family), limits_(limits) {}

  // No counts have a smaller arena; kNever where there are none. Costs as LeastStepPicoseconds.
  int64_t LeastArenaBytes();
  // No counts whose arena stays within `arena_bytes` take less time; kNever where it is sure that there are none. Needs no rung prepared.
  int64_t LeastStepPicoseconds(int64_t arena_bytes);
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // The quickest counts whose arena stays within `arena_bytes`, of equally quick ones those with the smallest arena (but see kHiddenComputeSlack); none when nothing fits, or
  // nothing that takes at most `step_picoseconds`, which is the time of a mix that is known.
  std::optional<SolvedRecompute> Quickest(int64_t arena_bytes, int64_t step_picoseconds = kNever);

  // The counts with the smallest arena, at most `arena_bytes`, whose step takes at most `step_picoseconds`, of equally small ones the quickest; none
  // when there are none.
  std::optional<SolvedRecompute> Smallest(int64_t step_picoseconds, int64_t arena_bytes);

  // Mixes composed in all calls so far.
  int64_t evaluated_count() const { return evaluated_count_; }
  // The deadline passed: the last answer is the best found, not the best there is.
  bool deadline_reached() const { return deadline_reached_; }

 private:
  // A value to minimize, then another.
  using Key = std::pair<int64_t, int64_t>;
  // Layers left that lie below `rung`, and what is sure of the prefix.
  struct Node {
    RecomputeCounts counts = {};
    int64_t left = 0;
    int64_t compute_picoseconds =
        0;                    // least of the layers given a rung, over all micro-batches of a step
    int64_t stack_bytes = 0;  // least that they add to the stack
    MixFamily::GivenLayers given;
  };
  // Least compute time of a layer against what it takes of the stack, over the rungs that may still be given: the lower convex hull.
  struct Hull {
    std::vector<std::pair<double, double>> corners;  // (stack bytes, picoseconds), by bytes
  };

  // The best of all counts within the limits that were set.
  std::optional<SolvedRecompute> Walk();
  void OutlineRungs();
  void PrepareRungs();
  void MeasureRungs();
  void Reset(bool memory_first, int64_t arena_limit, int64_t step_limit);
  Node Root() const;
  ComposedMix Offer(const RecomputeCounts& counts);
  void Take(const RecomputeCounts& counts, const ComposedMix& composed);
  void OfferTwoRungSplits();
  void OfferSplits(Rung deep, Rung light);
  void Branch(size_t depth, const Node& node);
  bool MayHelp(size_t depth, const Node& node) const;
  int64_t LeastArena(size_t depth, const Node& node) const;
  int64_t LeastStep(size_t depth, const Node& node) const;
  Node Given(const Node& node, Rung rung, int64_t count) const;
  // A limit on what is walked never makes a question that has a mix one that has none: a limit of time is that of a mix that is known.
  bool IsOver() const {
    const bool has_mix = best_ || step_limit_ < kNever;
    return deadline_reached_ || (has_mix && evaluated_count_ >= last_evaluated_count_);
  }
  int64_t MostLayers(Rung rung, int64_t left) const;
  Key KeyOf(int64_t arena_bytes, int64_t step_picoseconds) const;

  MixFamily& family_;
  const RecomputeLimits limits_;
  bool prepared_ = false;
  std::vector<Rung> rungs_;  // deepest first; once prepared, only those that differ
  std::vector<Hull> hulls_;  // by depth: of rungs_[depth] and all after it
  std::vector<int64_t> least_backward_bytes_;  // by depth, likewise: the last layer's
  std::vector<int64_t> least_stack_bytes_;     // by depth, of one layer
  int64_t discount_picoseconds_ = 0;           // that special layers may save, at most
  int64_t discount_bytes_ = 0;
  bool memory_first_ = false;
  int64_t arena_limit_ = 0;
  int64_t keep_all_picoseconds_ =
      0;  // of the mix that keeps everything, where that is too large: no other is quicker
  int64_t step_limit_ = 0;
  std::optional<SolvedRecompute> best_;
  Key best_key_ = {};
  int64_t evaluated_count_ = 0;
  int64_t node_count_ = 0;
  int64_t last_evaluated_count_ = 0;  // when a walk of a family that hides compute ends
  bool deadline_reached_ = false;
};

}  // namespace tunesmith::planner
