#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/answer/prediction.h"
#include "planner/answer/search.h"

// The longest context that fits the devices of a question.
namespace tunesmith::planner {

// Contexts are told in multiples of it.
inline constexpr int64_t kContextUnit = 256;

struct LongestContext {
  int64_t context = 0;             // tokens; 0: nothing fits, not even the shortest
  int64_t limit = 0;               // tokens: of the model, or of the tokens of a step
  std::optional<Prediction> best;  // the mix that the question chooses there
  // Where memory binds: the next longer context, and of its mixes the one that misses by least.
  int64_t next_context = 0;
  std::optional<Prediction> nearest;
  std::string binding_sentence;  // what binds
  std::vector<std::string> notes;
  bool deadline_reached = false;  // a longer one may fit
};

// Of the multiples of kContextUnit, and the limit itself, the longest at which `question` has a mix that fits; rows per step stay, so tokens per
// step grow with the context. The question's context is not read; capacities per row are cut to the context. What fits at a context is taken
// to fit at shorter ones with as many tiles of the MLP. Errors as Recommend.
absl::StatusOr<LongestContext> FindLongestContext(const Question& question);

// `question` at another context; capacities per row are cut to it.
Question QuestionAt(const Question& question, int64_t context);

}  // namespace tunesmith::planner
