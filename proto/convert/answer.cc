#include "proto/convert/answer.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/answer/candidates.h"
#include "planner/answer/search.h"
#include "planner/model/catalog.h"
#include "proto/convert/cost.h"
#include "proto/convert/explanation.h"
#include "proto/convert/model.h"
#include "proto/convert/plan.h"
#include "proto/convert/prediction.h"
#include "proto/convert/question.h"
#include "proto/convert/runtime.h"
#include "proto/convert/violations.h"

namespace tunesmith::convert {
namespace {

constexpr int64_t kDefaultRankedCount = 8;
constexpr int64_t kMaxRankedCount = 1000;

absl::StatusOr<planner::Question> ResolveQuestion(const v1::Question& proto,
                                                  const CalibrationSource& calibrations) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Question question, QuestionFromProto(proto));
  ChooseCalibration(calibrations, question);
  return question;
}

absl::Status CheckCounts(const v1::RecommendRequest& request) {
  Violations violations;
  const auto check = [&](std::string_view field, int64_t asked) {
    violations.AtLeast(field, asked, 0);
    if (asked > kMaxRankedCount)
      violations.Add(field, StrCat("is ", asked, ", must be at most ", kMaxRankedCount));
  };
  check("ranked_count", request.ranked_count());
  check("pareto_count", request.pareto_count());
  return violations.ToStatus();
}

// Field violations of both are told together; another error goes before them.
absl::Status BothOf(const absl::Status& first, const absl::Status& second) {
  if (!absl::IsInvalidArgument(first) || !first.GetPayload(kBadRequestUrl)) {
    return first.ok() ? second : first;
  }
  Violations violations;
  violations.AddStatus("", first);
  violations.AddStatus("", second);
  return violations.ToStatus();
}

void AddRejections(const planner::SearchResult& result, v1::RecommendResponse& response) {
  for (const planner::Rejection& rejection : result.rejections) {
    v1::Rejection* proto = response.add_rejections();
    proto->set_reason(rejection.reason);
    proto->set_mix_count(rejection.mix_count);
    proto->set_least_needed_bytes(rejection.least_needed_bytes);
    proto->set_available_bytes(rejection.available_bytes);
  }
}

v1::RecommendResponse ResultToProto(const planner::Question& question,
                                    const planner::SearchResult& result) {
  v1::RecommendResponse response;
  for (const planner::Prediction& prediction : result.ranked)
    *response.add_ranked() = RankedToProto(prediction);
  if (result.nearest) *response.mutable_nearest() = RankedToProto(*result.nearest);
  AddRejections(result, response);
  response.set_choice_rule(result.choice_rule);
  for (const planner::Prediction& prediction : result.pareto)
    *response.add_pareto() = RankedToProto(prediction);
  response.set_candidate_count(result.candidate_count);
  response.set_evaluated_count(result.evaluated_count);
  response.set_excluded_count(result.excluded_count);
  response.set_feasible_count(result.feasible_count);
  response.set_deadline_reached(result.deadline_reached);
  for (const std::string& note : result.notes) response.add_notes(note);
  if (!result.ranked.empty())
    *response.mutable_plan() = ToProto(MakePlan(question, result.ranked.front()));
  *response.mutable_inputs() = InputsToProto(question);
  return response;
}

absl::Status AddExplanation(const planner::Question& question, const planner::Prediction& chosen,
                            v1::RecommendResponse& response) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Explanation explanation,
                             planner::Explain(question, chosen));
  *response.mutable_explanation() = ToProto(explanation);
  return absl::OkStatus();
}

absl::Status AddChanges(const planner::Question& question, const planner::Prediction& nearest,
                        v1::RecommendResponse& response) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Changes found,
                             planner::CheapestChanges(question, nearest));
  for (const planner::Change& change : found.changes) *response.add_changes() = ToProto(change);
  response.set_changes_cut_short(found.deadline_reached);
  return absl::OkStatus();
}

absl::StatusOr<v1::RecommendResponse> AnswerRuntimeRequest(const v1::RecommendRequest& request) {
  TUNESMITH_RETURN_IF_ERROR(CheckCounts(request));
  return AnswerRuntime(request);
}

}  // namespace

void ChooseCalibration(const CalibrationSource& calibrations, planner::Question& question) {
  const planner::Precision precision = planner::PrecisionOf(question);
  if (!question.calibration.id.empty()) {
    question.calibration = planner::InPrecision(std::move(question.calibration), precision);
  } else if (auto calibration = calibrations(question.devices.hardware.name, precision)) {
    question.calibration = *std::move(calibration);
  }
}

absl::StatusOr<v1::RecommendResponse> AnswerRecommend(const v1::RecommendRequest& request,
                                                      const CalibrationSource& calibrations,
                                                      absl::Time deadline) {
  if (request.question().has_runtime()) return AnswerRuntimeRequest(request);
  absl::StatusOr<planner::Question> resolved = ResolveQuestion(request.question(), calibrations);
  TUNESMITH_RETURN_IF_ERROR(BothOf(resolved.status(), CheckCounts(request)));
  planner::Question question = *std::move(resolved);
  question.ranked_count =
      request.ranked_count() == 0 ? kDefaultRankedCount : request.ranked_count();
  question.pareto_count = request.pareto_count();
  question.deadline = deadline;
  TUNESMITH_ASSIGN_OR_RETURN(const planner::SearchResult result, planner::Recommend(question));
  if (result.deadline_reached && result.ranked.empty()) {
    return absl::DeadlineExceededError(
        "the deadline passed before the search found a mix; allow more time");
  }
  v1::RecommendResponse response = ResultToProto(question, result);
  response.set_calibration_id(question.calibration.id);
  for (v1::RankedMix& mix : *response.mutable_ranked())
    SetCost(question.devices, request.question().price_per_device_hour(), mix);
  for (v1::RankedMix& mix : *response.mutable_pareto())
    SetCost(question.devices, request.question().price_per_device_hour(), mix);
  if (!result.ranked.empty() && request.explain())
    TUNESMITH_RETURN_IF_ERROR(AddExplanation(question, result.ranked.front(), response));
  if (result.ranked.empty() && result.nearest)
    TUNESMITH_RETURN_IF_ERROR(AddChanges(question, *result.nearest, response));
  return response;
}

absl::StatusOr<v1::EstimateResponse> AnswerEstimate(const v1::EstimateRequest& request,
                                                    const CalibrationSource& calibrations) {
  if (request.question().has_runtime()) {
    return absl::UnimplementedError(
        "a given mix of another runtime is not estimated; ask recommend with its axes pinned");
  }
  const absl::StatusOr<planner::Question> question =
      ResolveQuestion(request.question(), calibrations);
  const absl::StatusOr<planner::Mix> mix = MixChoiceFromProto(request);
  TUNESMITH_RETURN_IF_ERROR(BothOf(question.status(), mix.status()));
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Prediction prediction,
                             planner::Estimate(*question, *mix));
  v1::EstimateResponse response;
  response.set_calibration_id(question->calibration.id);
  *response.mutable_estimate() = RankedToProto(prediction);
  SetCost(question->devices, request.question().price_per_device_hour(),
          *response.mutable_estimate());
  if (prediction.fits) *response.mutable_plan() = ToProto(MakePlan(*question, prediction));
  return response;
}

v1::ListModelsResponse AnswerListModels() {
  v1::ListModelsResponse response;
  for (const planner::ModelSpec& spec : planner::ModelCatalog())
    *response.add_models() = ToProto(spec);
  return response;
}

v1::ListGpusResponse AnswerListGpus() {
  v1::ListGpusResponse response;
  for (const planner::Hardware& hardware : planner::HardwareCatalog())
    *response.add_gpus() = ToProto(hardware);
  return response;
}

}  // namespace tunesmith::convert
