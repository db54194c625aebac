#pragma once

#include "absl/status/statusor.h"
#include "runtimes/search.h"
#include "tunesmith/v1/recommender.pb.h"

// Questions about other runtimes, and their answers.
namespace tunesmith::convert {

// INVALID_ARGUMENT names every field that is wrong; NOT_FOUND a model or device that is not known.
absl::StatusOr<runtimes::RuntimeQuestion> RuntimeQuestionFromProto(const v1::Question& proto);

v1::RuntimeAnswer ToProto(const runtimes::RuntimeResult& result);

// What RecommenderService.Recommend answers where question.runtime is set. Errors as RuntimeQuestionFromProto and RecommendRuntime.
absl::StatusOr<v1::RecommendResponse> AnswerRuntime(const v1::RecommendRequest& request);

}  // namespace tunesmith::convert
