#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/str_cat.h"

// What Abseil's string functions do, for std::string_view (see str_cat.h).
namespace tunesmith {

// The pieces of `text` between characters of `separators`; empty pieces are kept. The pieces point
// into `text`.
std::vector<std::string_view> StrSplit(std::string_view text, std::string_view separators);

// As StrSplit without the empty pieces.
std::vector<std::string_view> StrSplitSkipEmpty(std::string_view text, std::string_view separators);

// ASCII letters compared without case.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
bool EndsWithIgnoreCase(std::string_view text, std::string_view suffix);
bool ContainsIgnoreCase(std::string_view text, std::string_view part);

// `pieces`, a range of texts, with `separator` between them.
template <typename Range>
std::string StrJoin(const Range& pieces, std::string_view separator) {
  std::string joined;
  std::string_view before;
  for (const auto& piece : pieces) {
    joined.append(before).append(piece);
    before = separator;
  }
  return joined;
}

}  // namespace tunesmith
