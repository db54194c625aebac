#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "planner/answer/mix_family.h"

namespace tunesmith::planner {

using RecomputeCounts = std::array<int64_t, kRungCount>;

struct SolvedRecompute {
  RecomputeCounts counts = {};
  ComposedMix composed;
};

// Chooses how many layers of a family take which rung.
class RecomputeSolver {
 public:
  // `family` and `prices` must outlive the solver.
  RecomputeSolver(const MixFamily& family, const PriceTable& prices)
      : family_(family), prices_(prices) {}

  // The quickest counts whose arena stays within `arena_budget_bytes`, of equally quick ones those with the smallest arena; none when nothing
  // fits. Exact: branch and bound over all counts, started from the best split between two rungs.
  std::optional<SolvedRecompute> Quickest(int64_t arena_budget_bytes);

  // The smallest arena of any split between two rungs, and of those the quickest counts.
  SolvedRecompute Smallest();

  // Mixes composed so far.
  int64_t evaluated_count() const { return evaluated_count_; }

 private:
  SolvedRecompute Evaluate(const RecomputeCounts& counts);
  template <typename Visit>
  void ForEachTwoRungSplit(Visit visit);
  void Branch(size_t rung, int64_t left, RecomputeCounts& counts);
  bool MayFit(size_t rung, int64_t left, RecomputeCounts counts) const;
  void Offer(const SolvedRecompute& candidate);

  const MixFamily& family_;
  const PriceTable& prices_;
  int64_t budget_bytes_ = 0;
  std::optional<SolvedRecompute> best_;
  int64_t evaluated_count_ = 0;
};

}  // namespace tunesmith::planner
