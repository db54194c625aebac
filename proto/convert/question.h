#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "planner/answer/search.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/recommender.pb.h"

// v1::Question -> planner::Question, with the names of models and devices looked up in the
// planner's catalogs.
namespace tunesmith::convert {

// INVALID_ARGUMENT naming every field that is missing or out of range; NOT_FOUND with the nearest
// names for an unknown model or device. The result's deadline is infinite; its calibration is the
// question's, empty when there is none.
absl::StatusOr<planner::Question> QuestionFromProto(const v1::Question& proto);

// A budget is a part of what the device has; the planner itself answers what more would do, too.
void CheckMemoryBudget(int64_t budget_bytes, const planner::Hardware& hardware,
                       Violations& violations);

// The mix of an Estimate, from the message or from its line. INVALID_ARGUMENT names what is wrong.
absl::StatusOr<planner::Mix> MixChoiceFromProto(const v1::EstimateRequest& request);

}  // namespace tunesmith::convert
