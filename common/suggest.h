#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// "Did you mean": the known names that are nearest to what was typed.
namespace tunesmith {

// Levenshtein distance: the least number of characters inserted, deleted or replaced, letters
// compared without case.
int64_t EditDistance(std::string_view a, std::string_view b);

// At most `limit` of `known`, nearest first; names at the same distance keep their order. A name
// that starts with or contains `name` counts as near. Empty when nothing resembles `name`.
std::vector<std::string> NearestNames(std::string_view name, const std::vector<std::string>& known,
                                      int64_t limit = 3);

// "did you mean 'A' or 'B'?" when something is near, else "known: A, B, C" (all of `known`). For
// the end of a NOT_FOUND message.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& known);

}  // namespace tunesmith
