#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "planner/answer/mix_family.h"
#include "planner/answer/predict.h"
#include "planner/answer/recompute_solver.h"
#include "planner/answer/search.h"

namespace tunesmith::planner {

// A mix with what the search knows of it.
struct ScoredMix {
  Mix mix;
  int64_t arena_bytes = 0;
  int64_t step_picoseconds = 0;
};

// The families of a question, solved as they are asked for: best first, by ever closer bounds of the least time that a mix of theirs can take.
// Families that cannot matter are excluded by them.
class FamilySearch {
 public:
  // What is referred to must outlive the search.
  FamilySearch(const Question& question, const PriceTable& prices,
               const DeviceMemoryBudget& budget);

  // Prices every family's quickest mix; stops at the deadline with those that it has. Errors as BuildProgram.
  absl::Status Create();

  // The best mixes by the question's objective, best first: of each family at most one (of families that differ in gather_depth and offload_percent too), `count` in all, and the best of
  // each method besides.
  std::vector<ScoredMix> Best(int64_t count);

  // The smallest mix of all, whether it fits or not.
  std::optional<ScoredMix> Smallest();

  // At most `count` mixes for which no other is both quicker and smaller, quickest first.
  std::vector<ScoredMix> Front(int64_t count);

  int64_t candidate_count() const { return candidate_count_; }
  int64_t evaluated_count() const;
  int64_t feasible_count() const { return feasible_count_; }
  int64_t rejected_count() const {
    return rejected_count_ + static_cast<int64_t>(hopeless_.size());
  }
  bool deadline_reached() const { return deadline_reached_; }

 private:
  struct Family {
    Family(const Mix& m, MixFamily f, const RecomputeLimits& limits)
        : mix(m), family(std::move(f)), solver(family, limits) {}

    const Mix mix;
    MixFamily family;
    RecomputeSolver solver;
    int64_t least_step_picoseconds = 0;
  };
  class ByLeastTime;

  bool Late();
  std::optional<ScoredMix> Quickest(Family& family, int64_t arena_bytes, int64_t step_picoseconds);
  std::optional<ScoredMix> Smallest(Family& family, int64_t step_picoseconds, int64_t arena_bytes);
  std::optional<ScoredMix> Scored(const Family& family,
                                  const std::optional<SolvedRecompute>& solved);
  std::vector<ScoredMix> QuickestOfFamilies(int64_t count);
  std::vector<ScoredMix> SmallestOfFamilies();
  std::vector<ScoredMix> BalancedOfFamilies();
  std::optional<ScoredMix> QuickestWithin(int64_t arena_bytes);

  const Question& question_;
  const PriceTable& prices_;
  const int64_t arena_limit_bytes_;
  SummaryCache cache_;
  std::vector<std::unique_ptr<Family>> families_;  // by least time
  // Whose mixes all need more than the budget: only a question that nothing fits comes to them.
  std::vector<std::unique_ptr<Family>> hopeless_;
  int64_t candidate_count_ = 0;
  int64_t feasible_count_ = 0;
  int64_t rejected_count_ = 0;
  bool deadline_reached_ = false;
};

}  // namespace tunesmith::planner
