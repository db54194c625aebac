#include "common/text.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace tunesmith {
namespace {

bool SameLetter(char a, char b) { return absl::ascii_tolower(a) == absl::ascii_tolower(b); }

}  // namespace

std::vector<std::string_view> StrSplit(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> pieces;
  while (true) {
    const size_t end = text.find_first_of(separators);
    pieces.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> StrSplitSkipEmpty(std::string_view text,
                                                std::string_view separators) {
  std::vector<std::string_view> pieces = StrSplit(text, separators);
  std::erase_if(pieces, [](std::string_view piece) { return piece.empty(); });
  return pieces;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), SameLetter);
}

bool EndsWithIgnoreCase(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() &&
         EqualsIgnoreCase(text.substr(text.size() - suffix.size()), suffix);
}

bool ContainsIgnoreCase(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), SameLetter) !=
             text.end() ||
         part.empty();
}

}  // namespace tunesmith
