#include "planner/answer/search.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/predict.h"
#include "planner/answer/recompute_solver.h"

namespace tunesmith::planner {
namespace {

// Of each family of mixes (everything equal but the recompute counts) the best by the objective. A family that does not fit is represented by its
// smallest mix.
class Search {
 public:
  Search(const Question& question, const PriceTable& prices, const DeviceMemoryBudget& budget)
      : question_(question), prices_(prices), budget_(budget) {}

  absl::Status Run() {
    for (const Mix& family : FamiliesOf(question_)) {
      if (absl::Now() >= question_.deadline) {
        result_.deadline_reached = true;
        break;
      }
      TUNESMITH_RETURN_IF_ERROR(VisitFamily(family));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<SearchResult> Finish() {
    std::stable_sort(best_.begin(), best_.end(),
                     [this](const Scored& a, const Scored& b) { return Better(a, b); });
    KeepTheBestOfEachMethod();
    for (const Scored& scored : best_) {
      TUNESMITH_ASSIGN_OR_RETURN(Prediction p, Predict(question_, scored.mix, prices_, budget_));
      result_.ranked.push_back(std::move(p));
    }
    if (best_.empty() && nearest_.arena_bytes > 0) {
      TUNESMITH_ASSIGN_OR_RETURN(result_.nearest,
                                 Predict(question_, nearest_.mix, prices_, budget_));
    }
    if (rejected_count_ > 0) {
      result_.rejections.push_back(
          {.reason = "memory",
           .mix_count = rejected_count_,
           .least_needed_bytes = nearest_.arena_bytes + budget_.outside_arena_bytes,
           .available_bytes = budget_.budget_bytes});
    }
    result_.choice_rule = ChoiceRule();
    return std::move(result_);
  }

 private:
  struct Scored {
    Mix mix;
    int64_t arena_bytes = 0;
    int64_t step_picoseconds = 0;
  };

  bool Better(const Scored& a, const Scored& b) const {
    if (question_.objective == Objective::kMemory)
      return std::pair(a.arena_bytes, a.step_picoseconds) <
             std::pair(b.arena_bytes, b.step_picoseconds);
    return std::pair(a.step_picoseconds, a.arena_bytes) <
           std::pair(b.step_picoseconds, b.arena_bytes);
  }

  absl::Status VisitFamily(const Mix& family_mix) {
    TUNESMITH_ASSIGN_OR_RETURN(const MixFamily family,
                               MixFamily::Create(InputsFor(question_, family_mix), prices_));
    RecomputeSolver solver(family, prices_);
    const int64_t arena_budget_bytes = budget_.budget_bytes - budget_.outside_arena_bytes;
    std::optional<SolvedRecompute> solved;
    if (question_.objective == Objective::kTime) solved = solver.Quickest(arena_budget_bytes);
    if (!solved) solved = solver.Smallest();
    const bool fits = solved->composed.arena_bytes <= arena_budget_bytes;
    Record({.mix = family_mix,
            .arena_bytes = solved->composed.arena_bytes,
            .step_picoseconds = solved->composed.price.step_picoseconds},
           solved->counts, fits);
    result_.evaluated_count += solver.evaluated_count();
    return absl::OkStatus();
  }

  void Record(Scored scored, const RecomputeCounts& counts, bool fits) {
    scored.mix.recompute = counts;
    if (fits) {
      best_.push_back(scored);
      ++result_.feasible_count;
      return;
    }
    ++rejected_count_;
    if (nearest_.arena_bytes == 0 || scored.arena_bytes < nearest_.arena_bytes) nearest_ = scored;
  }

  // The best of each method stays in the list even when the other method fills it.
  void KeepTheBestOfEachMethod() {
    std::vector<Scored> kept;
    std::map<Method, int64_t> seen;
    const auto limit = static_cast<size_t>(std::max<int64_t>(question_.ranked_count, 1));
    for (const Scored& scored : best_) {
      const bool first = seen[scored.mix.method]++ == 0;
      if (kept.size() < limit || first) kept.push_back(scored);
    }
    best_ = std::move(kept);
  }

  std::string ChoiceRule() const {
    const std::string goal =
        question_.objective == Objective::kTime ? "least time per step" : "least memory per device";
    if (best_.empty()) return "nothing fits";
    if (question_.method != MethodChoice::kAny) return StrCat(goal, " among the mixes that fit");
    return StrCat(goal,
                  " among the mixes of any method that fit; the list holds the best of each "
                  "method, because full fine-tuning and LoRA ",
                  "do not learn the same thing");
  }

  const Question& question_;
  const PriceTable& prices_;
  const DeviceMemoryBudget& budget_;
  SearchResult result_;
  std::vector<Scored> best_;
  Scored nearest_;
  int64_t rejected_count_ = 0;
};

}  // namespace

absl::StatusOr<SearchResult> Recommend(const Question& question) {
  TUNESMITH_RETURN_IF_ERROR(ValidateQuestion(question));
  const PriceTable prices(question.devices.hardware, question.calibration, PrecisionOf(question));
  const DeviceMemoryBudget budget = BudgetOf(question);
  Search search(question, prices, budget);
  TUNESMITH_RETURN_IF_ERROR(search.Run());
  TUNESMITH_ASSIGN_OR_RETURN(SearchResult result, search.Finish());
  result.notes = NotesOn(question);
  return result;
}

absl::StatusOr<Prediction> Estimate(const Question& question, const Mix& mix) {
  TUNESMITH_RETURN_IF_ERROR(ValidateQuestion(question));
  TUNESMITH_RETURN_IF_ERROR(ValidateMix(mix, question.model.layer_count));
  const PriceTable prices(question.devices.hardware, question.calibration, mix.precision);
  return Predict(question, mix, prices, BudgetOf(question));
}

}  // namespace tunesmith::planner
