#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "planner/answer/search.h"
#include "planner/price/calibration.h"
#include "tunesmith/v1/recommender.pb.h"

// The recommender's methods, answered by the linked planner: what the server does for an RPC and
// the client for --offline. Thread-safe.
namespace tunesmith::convert {

// Gives the calibration to price a device with, in a precision, where the question brings none; none: datasheets.
using CalibrationSource = std::function<std::optional<planner::Calibration>(
    std::string_view device_name, planner::Precision precision)>;

// Gives a question that brings no calibration of its own one from `calibrations`; either as it says in the question's precision (planner::InPrecision).
void ChooseCalibration(const CalibrationSource& calibrations, planner::Question& question);

// Errors are those that recommender.proto states for each method.
absl::StatusOr<v1::RecommendResponse> AnswerRecommend(const v1::RecommendRequest& request,
                                                      const CalibrationSource& calibrations,
                                                      absl::Time deadline = absl::InfiniteFuture());
absl::StatusOr<v1::EstimateResponse> AnswerEstimate(const v1::EstimateRequest& request,
                                                    const CalibrationSource& calibrations);
v1::ListModelsResponse AnswerListModels();
v1::ListGpusResponse AnswerListGpus();

}  // namespace tunesmith::convert
