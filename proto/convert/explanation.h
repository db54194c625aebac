#pragma once

#include "planner/answer/changes.h"
#include "planner/answer/explain.h"
#include "tunesmith/v1/recommender.pb.h"

// Explanations and changes as messages.
namespace tunesmith::convert {

v1::RankedMix RankedToProto(const planner::Prediction& prediction);

v1::Explanation ToProto(const planner::Explanation& explanation);

v1::Change ToProto(const planner::Change& change);

}  // namespace tunesmith::convert
