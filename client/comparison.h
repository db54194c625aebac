#pragma once

#include <string>
#include <vector>

#include "client/listing.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::client {

struct ComparedMix {
  std::string name;
  v1::RankedMix mix;
};

// A row for each axis in which the mixes differ, then memory by class, time, and how each stands to the first.
// REQUIRES: at least one mix.
Listing ComparisonListing(const std::vector<ComparedMix>& compared);

// The mixes as the API has them, by name.
std::string ComparisonJson(const std::vector<ComparedMix>& compared);

}  // namespace tunesmith::client
