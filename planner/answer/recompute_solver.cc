#include "planner/answer/recompute_solver.h"

#include <utility>

namespace tunesmith::planner {
namespace {

constexpr size_t kKeep = static_cast<size_t>(Rung::kKeep);

std::pair<int64_t, int64_t> TimeThenBytes(const SolvedRecompute& s) {
  return {s.composed.price.step_picoseconds, s.composed.arena_bytes};
}

}  // namespace

SolvedRecompute RecomputeSolver::Evaluate(const RecomputeCounts& counts) {
  ++evaluated_count_;
  return {.counts = counts, .composed = family_.Compose(counts, prices_)};
}

template <typename Visit>
void RecomputeSolver::ForEachTwoRungSplit(Visit visit) {
  const int64_t layers = family_.layer_count();
  for (size_t rung = 0; rung < kBuiltRungCount; ++rung) {
    for (size_t other = 0; other <= rung; ++other) {
      for (int64_t count = rung == other ? layers : 1;
           count < layers || (rung == other && count == layers); ++count) {
        RecomputeCounts counts = {};
        counts[other] = layers - count;
        counts[rung] = count;
        visit(Evaluate(counts));
      }
    }
  }
}

void RecomputeSolver::Offer(const SolvedRecompute& candidate) {
  if (candidate.composed.arena_bytes > budget_bytes_) return;
  if (!best_ || TimeThenBytes(candidate) < TimeThenBytes(*best_)) best_ = candidate;
}

std::optional<SolvedRecompute> RecomputeSolver::Quickest(int64_t arena_budget_bytes) {
  budget_bytes_ = arena_budget_bytes;
  best_.reset();
  RecomputeCounts counts = {};
  counts[kKeep] = family_.layer_count();
  const SolvedRecompute keep_all = Evaluate(counts);
  Offer(keep_all);
  if (best_ && family_.KeepingIsQuickest()) return best_;
  ForEachTwoRungSplit([&](const SolvedRecompute& s) { Offer(s); });
  counts = {};
  Branch(kBuiltRungCount - 1, family_.layer_count(), counts);
  return best_;
}

// Nothing saves less than giving all that is left to the next rung.
bool RecomputeSolver::MayFit(size_t rung, int64_t left, RecomputeCounts counts) const {
  counts[rung] = left;
  return family_.LossInstantBytes(counts) <= budget_bytes_;
}

// Gives `rung` 0, 1, ... of the layers that are left; the rest goes to cheaper rungs. Keeping everything is the least time that the rest can
// take, so a prefix that is no quicker with it is abandoned, and so are all larger counts of this rung.
void RecomputeSolver::Branch(size_t rung, int64_t left, RecomputeCounts& counts) {
  for (int64_t count = 0; count <= left; ++count) {
    counts[rung] = count;
    counts[kKeep] = left - count;
    const SolvedRecompute optimistic = Evaluate(counts);
    if (best_ && family_.KeepingIsQuickest() &&
        optimistic.composed.price.step_picoseconds > best_->composed.price.step_picoseconds)
      break;
    Offer(optimistic);
    counts[kKeep] = 0;
    if (rung > kKeep + 1 && MayFit(rung - 1, left - count, counts))
      Branch(rung - 1, left - count, counts);
  }
  counts[rung] = 0;
  counts[kKeep] = 0;
}

SolvedRecompute RecomputeSolver::Smallest() {
  SolvedRecompute smallest;
  ForEachTwoRungSplit([&](const SolvedRecompute& s) {
    if (smallest.composed.arena_bytes == 0 ||
        s.composed.arena_bytes < smallest.composed.arena_bytes)
      smallest = s;
  });
  return *Quickest(smallest.composed.arena_bytes);
}

}  // namespace tunesmith::planner
