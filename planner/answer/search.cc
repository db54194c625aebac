#include "planner/answer/search.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "planner/answer/candidates.h"
#include "planner/answer/check_question.h"
#include "planner/answer/family_search.h"
#include "planner/answer/predict.h"

namespace tunesmith::planner {
namespace {

std::string_view GoalOf(Objective objective) {
  switch (objective) {
    case Objective::kTime:
      return "least time per step";
    case Objective::kMemory:
      return "least memory per device";
    case Objective::kBalanced:
      return "least memory within 5 % of the quickest step";
  }
  return "";
}

std::string ChoiceRule(const Question& question, const SearchResult& result) {
  if (result.ranked.empty()) return "nothing fits";
  const std::string_view goal = GoalOf(question.objective);
  if (question.method != MethodChoice::kAny) return StrCat(goal, " among the mixes that fit");
  return StrCat(goal,
                " among the mixes of any method that fit; the list holds the best of each method, "
                "because full fine-tuning and LoRA do not learn the same thing");
}

class Answer {
 public:
  Answer(const Question& question, const PriceTable& prices, const DeviceMemoryBudget& budget)
      : question_(question), prices_(prices), budget_(budget), search_(question, prices, budget) {}

  absl::StatusOr<SearchResult> Make() {
    TUNESMITH_RETURN_IF_ERROR(search_.Create());
    TUNESMITH_RETURN_IF_ERROR(
        AddAll(search_.Best(std::max<int64_t>(question_.ranked_count, 1)), result_.ranked));
    if (result_.ranked.empty()) TUNESMITH_RETURN_IF_ERROR(AddNearest());
    if (question_.pareto_count > 0)
      TUNESMITH_RETURN_IF_ERROR(AddAll(search_.Front(question_.pareto_count), result_.pareto));
    if (search_.rejected_count() > 0) AddRejection();
    result_.candidate_count = search_.candidate_count();
    result_.evaluated_count = search_.evaluated_count();
    result_.excluded_count =
        std::max<int64_t>(0, result_.candidate_count - result_.evaluated_count);
    result_.feasible_count = search_.feasible_count();
    result_.deadline_reached = search_.deadline_reached();
    result_.choice_rule = ChoiceRule(question_, result_);
    result_.notes = NotesOn(question_, prices_.rows());
    return std::move(result_);
  }

 private:
  absl::Status AddAll(const std::vector<ScoredMix>& mixes, std::vector<Prediction>& predictions) {
    for (const ScoredMix& scored : mixes) {
      TUNESMITH_ASSIGN_OR_RETURN(Prediction p, Predict(question_, scored.mix, prices_, budget_));
      predictions.push_back(std::move(p));
    }
    return absl::OkStatus();
  }

  absl::Status AddNearest() {
    const auto smallest = search_.Smallest();
    if (!smallest) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(result_.nearest,
                               Predict(question_, smallest->mix, prices_, budget_));
    return absl::OkStatus();
  }

  void AddRejection() {
    Rejection rejection{.reason = "memory",
                        .mix_count = search_.rejected_count(),
                        .available_bytes = budget_.budget_bytes};
    const auto shortages =
        result_.nearest ? ShortagesOf(result_.nearest->memory) : std::vector<Shortage>();
    if (!shortages.empty()) {
      rejection.reason = shortages.front().name;
      rejection.least_needed_bytes = shortages.front().needed_bytes;
      rejection.available_bytes = shortages.front().available_bytes;
    }
    result_.rejections.push_back(std::move(rejection));
  }

  const Question& question_;
  const PriceTable& prices_;
  const DeviceMemoryBudget& budget_;
  FamilySearch search_;
  SearchResult result_;
};

}  // namespace

absl::StatusOr<SearchResult> Recommend(const Question& question) {
  TUNESMITH_RETURN_IF_ERROR(ValidateQuestion(question));
  const PriceTable prices(question.devices.hardware, question.calibration, PrecisionOf(question),
                          RowsFor(question), LinksOf(question.devices));
  return Answer(question, prices, BudgetOf(question)).Make();
}

absl::StatusOr<Prediction> Estimate(const Question& question, const Mix& mix) {
  TUNESMITH_RETURN_IF_ERROR(ValidateQuestion(question));
  TUNESMITH_RETURN_IF_ERROR(ValidateMixFor(question, mix));
  const PriceTable prices(question.devices.hardware, question.calibration, mix.precision,
                          RowsFor(question), LinksOf(question.devices));
  return Predict(question, mix, prices, BudgetOf(question));
}

}  // namespace tunesmith::planner
