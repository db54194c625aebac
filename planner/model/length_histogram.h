#pragma once

#include <cstdint>
#include <vector>

// How long the documents of a data set are, in bins: what packing and attention cost depends on.
namespace tunesmith::planner {

struct LengthBin {
  int64_t upper_edge =
      0;  // most tokens of a document in this bin; the least is the bin's before, plus one
  int64_t document_count = 0;
  int64_t predicted_token_count =
      0;  // tokens to be learned of all its documents; 0 in all bins: not known

  bool operator==(const LengthBin&) const = default;
};

// By ascending upper edge. Empty: not known, every row is one document.
using LengthHistogram = std::vector<LengthBin>;

}  // namespace tunesmith::planner
