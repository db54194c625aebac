#pragma once

#include <string>

#include "client/listing.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::client {

// "micro_batch".
std::string ExplainedAxisName(v1::ExplainedAxis axis);

// A row for each value that was not chosen.
Listing AlternativeListing(const v1::Explanation& explanation);

// What binds, the instants behind it, and a line for every value of an axis that was not chosen.
std::string ShowExplanation(const v1::Explanation& explanation);

// A line for every single change that makes the question fit; says so where there is none.
std::string ShowChanges(const v1::RecommendResponse& answer);

}  // namespace tunesmith::client
