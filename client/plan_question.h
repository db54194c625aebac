#pragma once

#include "tunesmith/v1/plan.pb.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::client {

// The question that a plan answers, to be asked again. Rates and prices are not part of a plan.
v1::Question QuestionOfPlan(const v1::PlanInputs& inputs);

}  // namespace tunesmith::client
