#include "planner/answer/family_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <queue>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "planner/answer/candidates.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

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

// Mixes that differ in when they gather weights or in how much of the states the host keeps, and in what layers keep: one of them is told.
std::vector<ScoredMix>::const_iterator TwinOf(Mix mix, const std::vector<ScoredMix>& mixes) {
  if (!GathersWeights(mix) && mix.offload != Offload::kOptimizer) return mixes.end();
  const auto place = std::pair(mix.gather_depth, mix.offload_percent);
  return std::find_if(mixes.begin(), mixes.end(), [&](const ScoredMix& other) {
    if (std::pair(other.mix.gather_depth, other.mix.offload_percent) == place) return false;
    mix.gather_depth = other.mix.gather_depth;
    mix.offload_percent = other.mix.offload_percent;
    mix.recompute = other.mix.recompute;
    return other.mix == mix;
  });
}

// The first `count`, and of each method the first besides; of twins the first.
std::vector<ScoredMix> FirstAndBestOfEachMethod(const std::vector<ScoredMix>& sorted,
                                                int64_t count) {
  std::vector<ScoredMix> kept;
  std::array<bool, kMethodCount> seen = {};
  for (const ScoredMix& scored : sorted) {
    if (TwinOf(scored.mix, kept) != kept.end()) continue;
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
  const Backend backend = BackendOf(question_.devices.hardware);
  for (const Mix& mix : FamiliesOf(question_)) {
    if (Late()) break;
    TUNESMITH_ASSIGN_OR_RETURN(MixFamily family,
                               MixFamily::Create(InputsFor(question_, mix), prices_, cache_));
    const RecomputeLimits limits = LimitsOf(question_, mix, family.host_bytes());
    candidate_count_ += MixCount(limits, question_.model.layer_count);
    const bool hopeless = family.FloorBytes() > arena_limit_bytes_ ||
                          (backend.kind != BackendKind::kCpu &&  // whose host is the device
                           !HostHolds(question_, family.host_bytes()));
    auto added = std::make_unique<Family>(mix, std::move(family), limits);
    if (!hopeless) added->least_step_picoseconds = added->family.LeastStepPicoseconds();
    (hopeless ? hopeless_ : families_).push_back(std::move(added));
  }
  std::stable_sort(families_.begin(), families_.end(), [](const auto& a, const auto& b) {
    return a->least_step_picoseconds < b->least_step_picoseconds;
  });
  return absl::OkStatus();
}

bool FamilySearch::Late() {
  if (absl::Now() >= question_.deadline) deadline_reached_ = true;
  return deadline_reached_;
}

int64_t FamilySearch::evaluated_count() const {
  int64_t count = 0;
  for (const auto* families : {&families_, &hopeless_}) {
    for (const auto& f : *families) count += f->solver.evaluated_count();
  }
  return count;
}

std::optional<ScoredMix> FamilySearch::Scored(const Family& f,
                                              const std::optional<SolvedRecompute>& solved) {
  deadline_reached_ |= f.solver.deadline_reached();
  if (!solved) return std::nullopt;
  ScoredMix scored{.mix = f.mix,
                   .arena_bytes = solved->composed.arena_bytes,
                   .step_picoseconds = solved->composed.price.step_picoseconds};
  scored.mix.recompute = solved->counts;
  return scored;
}

std::optional<ScoredMix> FamilySearch::Quickest(Family& f, int64_t arena_bytes,
                                                int64_t step_picoseconds) {
  return Scored(f, f.solver.Quickest(arena_bytes, step_picoseconds));
}

std::optional<ScoredMix> FamilySearch::Smallest(Family& f, int64_t step_picoseconds,
                                                int64_t arena_bytes) {
  return Scored(f, f.solver.Smallest(step_picoseconds, arena_bytes));
}

// Families in the order of the least time that a mix of theirs can take within an arena. The closer bound is made when a family's first look
// comes to the front.
class FamilySearch::ByLeastTime {
 public:
  ByLeastTime(const std::vector<std::unique_ptr<Family>>& families, int64_t arena_bytes)
      : arena_bytes_(arena_bytes) {
    for (size_t i = 0; i < families.size(); ++i)
      queue_.push({families[i]->least_step_picoseconds, i, false, families[i].get()});
  }

  struct Entry {
    int64_t least_picoseconds = 0;  // RecomputeSolver::kNever: nothing of the family fits
    size_t index = 0;               // of families alike, the earlier comes first
    bool close = false;
    Family* family = nullptr;
  };
  std::optional<Entry> Next() {
    while (!queue_.empty()) {
      Entry entry = queue_.top();
      queue_.pop();
      if (entry.close) return entry;
      entry.least_picoseconds = entry.family->solver.LeastStepPicoseconds(arena_bytes_);
      entry.close = true;
      queue_.push(entry);
    }
    return std::nullopt;
  }

 private:
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return std::pair(a.least_picoseconds, a.index) > std::pair(b.least_picoseconds, b.index);
    }
  };
  const int64_t arena_bytes_;
  std::priority_queue<Entry, std::vector<Entry>, Later> queue_;
};

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

// Once `count` mixes are quicker than the least time of what is left, the rest cannot be among the best; what may still be the best of its method goes on.
std::vector<ScoredMix> FamilySearch::QuickestOfFamilies(int64_t count) {
  std::vector<ScoredMix> best;
  std::array<int64_t, kMethodCount> best_of_method;
  best_of_method.fill(kUnlimited);
  const auto worst = static_cast<size_t>(count) - 1;
  ByLeastTime queue(families_, arena_limit_bytes_);
  while (const auto next = queue.Next()) {
    Family& f = *next->family;
    int64_t& method_best = best_of_method[static_cast<size_t>(f.mix.method)];
    const int64_t limit =
        best.size() > worst ? std::max(best[worst].step_picoseconds, method_best) : kUnlimited;
    if (next->least_picoseconds > limit) continue;
    const auto twin = TwinOf(f.mix, best);
    const int64_t twin_limit = twin == best.end() ? limit : std::min(limit, twin->step_picoseconds);
    if (next->least_picoseconds > twin_limit) continue;
    if (Late()) break;
    const auto scored = Quickest(f, arena_limit_bytes_, twin_limit);
    if (scored) ++feasible_count_;
    if (!scored && twin_limit == kUnlimited) ++rejected_count_;
    if (!scored || (twin != best.end() && !Quicker(*scored, *twin))) continue;
    if (twin != best.end()) best.erase(twin);
    method_best = std::min(method_best, scored->step_picoseconds);
    best.insert(std::upper_bound(best.begin(), best.end(), *scored, Quicker), *scored);
  }
  return best;
}

std::vector<ScoredMix> FamilySearch::SmallestOfFamilies() {
  std::vector<ScoredMix> best;
  for (const auto& f : families_) {
    if (Late()) break;
    const auto scored = Smallest(*f, kUnlimited, arena_limit_bytes_);
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
  for (const auto& f : families_) {
    const int64_t step_limit = limit[static_cast<size_t>(f->mix.method)];
    if (f->least_step_picoseconds > step_limit || Late()) continue;
    const auto scored = Smallest(*f, step_limit, arena_limit_bytes_);
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
  std::vector<std::pair<int64_t, Family*>> by_bound;
  for (const auto* families : {&families_, &hopeless_}) {
    for (const auto& f : *families) by_bound.emplace_back(f->solver.LeastArenaBytes(), f.get());
  }
  std::stable_sort(by_bound.begin(), by_bound.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::optional<ScoredMix> smallest;
  for (const auto& [bound, family] : by_bound) {
    if (smallest && bound > smallest->arena_bytes) break;
    const auto scored =
        Smallest(*family, kUnlimited, smallest ? smallest->arena_bytes : kUnlimited);
    if (scored && (!smallest || Smaller(*scored, *smallest))) smallest = scored;
  }
  return smallest;
}

std::optional<ScoredMix> FamilySearch::QuickestWithin(int64_t arena_bytes) {
  std::optional<ScoredMix> best;
  ByLeastTime queue(families_, arena_bytes);
  while (const auto next = queue.Next()) {
    const int64_t limit = best ? best->step_picoseconds : kUnlimited;
    if (next->least_picoseconds > limit || Late()) break;
    const auto scored = Quickest(*next->family, arena_bytes, limit);
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
