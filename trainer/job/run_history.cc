#include "trainer/job/run_history.h"

#include "common/median.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

json ToJson(const std::optional<RunHistory::Evaluation>& evaluation) {
  if (!evaluation) return nullptr;
  return {{"step", evaluation->step}, {"loss", evaluation->loss}};
}

absl::StatusOr<std::optional<RunHistory::Evaluation>> EvaluationFrom(const json& object,
                                                                     const char* field,
                                                                     std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* value, JsonMember(object, field, what));
  if (value->is_null()) return std::nullopt;
  RunHistory::Evaluation evaluation;
  TUNESMITH_ASSIGN_OR_RETURN(evaluation.step, JsonField<int64_t>(*value, "step", what));
  TUNESMITH_ASSIGN_OR_RETURN(evaluation.loss, JsonField<double>(*value, "loss", what));
  return evaluation;
}

}  // namespace

bool RunHistory::AddEvaluation(const Evaluation& evaluation, double least_improvement) {
  if (last_ && last_->step == evaluation.step) return best_ == last_;
  last_ = evaluation;
  const bool improves = !best_ || best_->loss - evaluation.loss > least_improvement;
  evaluations_without_improvement_ = improves ? 0 : evaluations_without_improvement_ + 1;
  const bool is_best = !best_ || evaluation.loss < best_->loss;
  if (is_best) best_ = evaluation;
  return is_best;
}

double RunHistory::AddLoss(double loss) {
  const double median = recent_losses_.size() < kSpikeLeastCount ? 0 : Median(recent_losses_);
  const double ratio = median > 0 ? loss / median : 0;
  recent_losses_.push_back(loss);
  if (recent_losses_.size() > kSpikeWindow) recent_losses_.erase(recent_losses_.begin());
  return ratio;
}

json RunHistory::ToJson() const {
  return {{"last_evaluation", trainer::ToJson(last_)},
          {"best_evaluation", trainer::ToJson(best_)},
          {"evaluations_without_improvement", evaluations_without_improvement_},
          {"recent_losses", recent_losses_}};
}

absl::StatusOr<RunHistory> RunHistory::FromJson(const json& object, std::string_view what) {
  RunHistory history;
  TUNESMITH_ASSIGN_OR_RETURN(history.last_, EvaluationFrom(object, "last_evaluation", what));
  TUNESMITH_ASSIGN_OR_RETURN(history.best_, EvaluationFrom(object, "best_evaluation", what));
  TUNESMITH_ASSIGN_OR_RETURN(history.evaluations_without_improvement_,
                             JsonField<int64_t>(object, "evaluations_without_improvement", what));
  TUNESMITH_ASSIGN_OR_RETURN(const json* losses, JsonArray(object, "recent_losses", what));
  for (const json& loss : *losses) {
    if (!loss.is_number())
      return absl::InvalidArgumentError(StrCat(what, ": \"recent_losses\" must hold numbers"));
    history.recent_losses_.push_back(loss.get<double>());
  }
  return history;
}

}  // namespace tunesmith::trainer
