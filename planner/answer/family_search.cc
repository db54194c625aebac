#include "planner/answer/family_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "planner/answer/candidates.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
constexpr size_t kMethodCount = 2;

bool Quicker(const ScoredMix& a, const ScoredMix& b) {
  return std::pair(a.step_picoseconds, a.arena_bytes) <
         std::pair(b.step_picoseconds, b.arena_bytes);
}

bool Smaller(const ScoredMix& a, const ScoredMix& b) {
  return std::pair(a.arena_bytes, a.step_picoseconds) <
         std::pair(b.arena_bytes, b.step_picoseconds);
}

int64_t WithSlack(int64_t picoseconds) {
  return static_cast<int64_t>(std::floor(static_cast<double>(picoseconds) * (1 + kBalancedSlack)));
}

// The first `count`, and of each method the first besides.
std::vector<ScoredMix> FirstAndBestOfEachMethod(const std::vector<ScoredMix>& sorted,
                                                int64_t count) {
  std::vector<ScoredMix> kept;
  std::array<bool, kMethodCount> seen = {};
  for (const ScoredMix& scored : sorted) {
    bool& method_seen = seen[static_cast<size_t>(scored.mix.method)];
    if (static_cast<int64_t>(kept.size()) < count || !method_seen) kept.push_back(scored);
    method_seen = true;
  }
  return kept;
}

}  // namespace

FamilySearch::FamilySearch(const Question& question, const PriceTable& prices,
                           const DeviceMemoryBudget& budget)
    : question_(question),
      prices_(prices),
      arena_limit_bytes_(budget.budget_bytes - budget.outside_arena_bytes),
      cache_(prices) {}

absl::Status FamilySearch::Create() {
  for (const Mix& mix : FamiliesOf(question_)) {
    if (Late()) break;
    TUNESMITH_ASSIGN_OR_RETURN(MixFamily family,
                               MixFamily::Create(InputsFor(question_, mix), prices_, cache_));
    const RecomputeLimits limits = LimitsOf(question_, mix);
    candidate_count_ += MixCount(limits, question_.model.layer_count);
    const int64_t least = family.LeastStepPicoseconds();
    families_.push_back({.mix = mix,
                         .family = std::move(family),
                         .limits = limits,
                         .least_step_picoseconds = least});
  }
  std::stable_sort(families_.begin(), families_.end(), [](const Family& a, const Family& b) {
    return a.least_step_picoseconds < b.least_step_picoseconds;
  });
  return absl::OkStatus();
}

bool FamilySearch::Late() {
  if (absl::Now() >= question_.deadline) deadline_reached_ = true;
  return deadline_reached_;
}

int64_t FamilySearch::evaluated_count() const {
  int64_t count = 0;
  for (const Family& f : families_) count += f.evaluated_count;
  return count;
}

std::optional<ScoredMix> FamilySearch::Scored(const Family& family,
                                              const std::optional<SolvedRecompute>& solved) const {
  if (!solved) return std::nullopt;
  ScoredMix scored{.mix = family.mix,
                   .arena_bytes = solved->composed.arena_bytes,
                   .step_picoseconds = solved->composed.price.step_picoseconds};
  scored.mix.recompute = solved->counts;
  return scored;
}

std::optional<ScoredMix> FamilySearch::Quickest(Family& f, int64_t arena_bytes) {
  RecomputeSolver solver(f.family, f.limits);
  const auto solved = solver.Quickest(arena_bytes);
  f.evaluated_count += solver.evaluated_count();
  deadline_reached_ |= solver.deadline_reached();
  return Scored(f, solved);
}

std::optional<ScoredMix> FamilySearch::Smallest(Family& f, int64_t step_picoseconds,
                                                int64_t arena_bytes) {
  RecomputeSolver solver(f.family, f.limits);
  const auto solved = solver.Smallest(step_picoseconds, arena_bytes);
  f.evaluated_count += solver.evaluated_count();
  deadline_reached_ |= solver.deadline_reached();
  return Scored(f, solved);
}

std::vector<ScoredMix> FamilySearch::Best(int64_t count) {
  switch (question_.objective) {
    case Objective::kMemory:
      return FirstAndBestOfEachMethod(SmallestOfFamilies(), count);
    case Objective::kBalanced:
      return FirstAndBestOfEachMethod(BalancedOfFamilies(), count);
    case Objective::kTime:
      break;
  }
  return FirstAndBestOfEachMethod(QuickestOfFamilies(count), count);
}

// Families in the order of their least time: once `count` mixes are quicker than that, the rest cannot be among the best; only a method that
// has none yet goes on.
std::vector<ScoredMix> FamilySearch::QuickestOfFamilies(int64_t count) {
  std::vector<ScoredMix> best;
  std::array<bool, kMethodCount> seen = {};
  for (Family& f : families_) {
    const auto worst = static_cast<size_t>(count) - 1;
    const bool full = best.size() > worst;
    const bool late = full && f.least_step_picoseconds > best[worst].step_picoseconds;
    if (late && seen[static_cast<size_t>(f.mix.method)]) continue;
    if (Late()) break;
    const auto scored = Quickest(f, arena_limit_bytes_);
    ++(scored ? feasible_count_ : rejected_count_);
    if (!scored) continue;
    seen[static_cast<size_t>(f.mix.method)] = true;
    best.insert(std::upper_bound(best.begin(), best.end(), *scored, Quicker), *scored);
  }
  return best;
}

std::vector<ScoredMix> FamilySearch::SmallestOfFamilies() {
  std::vector<ScoredMix> best;
  for (Family& f : families_) {
    if (Late()) break;
    const auto scored = Smallest(f, kUnlimited, arena_limit_bytes_);
    ++(scored ? feasible_count_ : rejected_count_);
    if (scored) best.push_back(*scored);
  }
  std::stable_sort(best.begin(), best.end(), Smaller);
  return best;
}

// Each method is held to the quickest of all, where it comes within the slack of that, else to its own quickest; those that do come first.
std::vector<ScoredMix> FamilySearch::BalancedOfFamilies() {
  std::array<int64_t, kMethodCount> limit = {};
  int64_t least = kUnlimited;
  const std::vector<ScoredMix> quickest = FirstAndBestOfEachMethod(QuickestOfFamilies(1), 1);
  for (const ScoredMix& scored : quickest) least = std::min(least, scored.step_picoseconds);
  for (const ScoredMix& scored : quickest) {
    const bool near = scored.step_picoseconds <= WithSlack(least);
    limit[static_cast<size_t>(scored.mix.method)] =
        WithSlack(near ? least : scored.step_picoseconds);
  }
  feasible_count_ = rejected_count_ = 0;
  std::vector<ScoredMix> best;
  for (Family& f : families_) {
    const int64_t step_limit = limit[static_cast<size_t>(f.mix.method)];
    if (f.least_step_picoseconds > step_limit || Late()) continue;
    const auto scored = Smallest(f, step_limit, arena_limit_bytes_);
    ++(scored ? feasible_count_ : rejected_count_);
    if (scored) best.push_back(*scored);
  }
  std::stable_sort(best.begin(), best.end(), [&](const ScoredMix& a, const ScoredMix& b) {
    const bool a_near = a.step_picoseconds <= WithSlack(least),
               b_near = b.step_picoseconds <= WithSlack(least);
    return a_near != b_near ? a_near : Smaller(a, b);
  });
  return best;
}

std::optional<ScoredMix> FamilySearch::Smallest() {
  std::optional<ScoredMix> smallest;
  for (Family& f : families_) {
    const auto scored = Smallest(f, kUnlimited, smallest ? smallest->arena_bytes : kUnlimited);
    if (scored && (!smallest || Smaller(*scored, *smallest))) smallest = scored;
  }
  return smallest;
}

std::optional<ScoredMix> FamilySearch::QuickestWithin(int64_t arena_bytes) {
  std::optional<ScoredMix> best;
  for (Family& f : families_) {
    if (best && f.least_step_picoseconds > best->step_picoseconds) break;
    if (Late()) break;
    const auto scored = Quickest(f, arena_bytes);
    if (scored && (!best || Quicker(*scored, *best))) best = scored;
  }
  return best;
}

// The epsilon-constraint method: the quickest mix within an ever smaller arena. Where the front has more points than asked for, arenas shrink by
// more than the next point needs, and points between are passed over.
std::vector<ScoredMix> FamilySearch::Front(int64_t count) {
  std::vector<ScoredMix> front;
  const auto smallest = Smallest();
  auto point = QuickestWithin(arena_limit_bytes_);
  if (!smallest || !point || count < 1) return front;
  const int64_t stride = (point->arena_bytes - smallest->arena_bytes) / std::max<int64_t>(count, 1);
  while (point && static_cast<int64_t>(front.size()) < count) {
    front.push_back(*point);
    point = QuickestWithin(point->arena_bytes - std::max<int64_t>(stride, 1));
  }
  return front;
}

}  // namespace tunesmith::planner
