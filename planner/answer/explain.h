#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/answer/search.h"

// Why the chosen mix was chosen: what every value that an axis did not take would have cost.
namespace tunesmith::planner {

// The axes that are explained. kRecompute is told at its ends: keeping everything, and keeping the blocks' inputs only.
// kOffload only where the host has memory of its own; what no answer offers unasked is told here.
enum class ExplainedAxis {
  kMethod,
  kAttention,
  kLoss,
  kMicroBatch,
  kMlpTiles,
  kRecompute,
  kZeroStage,
  kSequenceParallel,
  kOffload,
  kGatherDepth,     // where the chosen mix gathers weights
  kOffloadPercent,  // where its host keeps states
};
inline constexpr int kExplainedAxisCount = 11;
std::string_view ExplainedAxisName(ExplainedAxis axis);  // "micro_batch", as flags spell it

enum class LostBecause {
  kSlower,      // by seconds_more
  kMoreMemory,  // as quick or, where memory counts, not smaller: by bytes_more
  kDoesNotFit,  // by missing_bytes
  kNoBetter,    // the same time and memory
};

// The best mix that has the axis at the value, all other placement axes free and the semantic ones as chosen, against the chosen mix.
struct Alternative {
  ExplainedAxis axis = ExplainedAxis::kMethod;
  std::string value;      // "eager", "4", "keep"
  bool semantic = false;  // it does not learn the same thing
  LostBecause reason = LostBecause::kNoBetter;
  double seconds_more = 0;  // per step; negative: quicker
  int64_t bytes_more = 0;   // per device; negative: less
  int64_t missing_bytes =
      0;  // kDoesNotFit: by how much the smallest such mix exceeds the budget of the device or, where that suffices, of the host
  Prediction best;  // kDoesNotFit: of the smallest mix
  std::string sentence;
};

struct Explanation {
  std::vector<Alternative> alternatives;  // by axis
  std::vector<InstantBytes> instants;     // most bytes first: the first binds, the others are next
  std::string binding_sentence;           // the same in words, with the class that takes most
  bool deadline_reached = false;          // some alternatives are missing
};

// Compares `chosen`, an answer of Recommend(question), with its alternatives: one search each, up to the question's deadline. Axes that the
// question pins are left out. Errors as Recommend; a value that is not built yet, or contradicts what the question pins, is left out.
absl::StatusOr<Explanation> Explain(const Question& question, const Prediction& chosen);

}  // namespace tunesmith::planner
