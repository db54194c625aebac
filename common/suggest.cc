#include "common/suggest.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/text.h"

namespace tunesmith {
namespace {

// Longer texts are no misspelt names; cutting them bounds the work.
constexpr size_t kLongestName = 128;

// A name is near when at most this many of its characters are wrong: a third, two of a short name,
// never all and more.
int64_t NearDistance(std::string_view name) {
  const auto size = static_cast<int64_t>(name.size());
  return std::min(size, std::max<int64_t>(2, size / 3));
}

// Distance for ranking: a name that contains what was typed is as near as one with one wrong
// letter.
int64_t RankingDistance(std::string_view name, std::string_view known) {
  if (name.size() >= 2 && ContainsIgnoreCase(known, name)) return 1;
  return EditDistance(name, known);
}

}  // namespace

int64_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int64_t diagonal = row[0];
    row[0] = static_cast<int64_t>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const bool same = absl::ascii_tolower(a[i]) == absl::ascii_tolower(b[j]);
      const int64_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

std::vector<std::string> NearestNames(std::string_view name, const std::vector<std::string>& known,
                                      int64_t limit) {
  name = name.substr(0, kLongestName);
  std::vector<std::pair<int64_t, std::string>> near;
  for (const std::string& candidate : known) {
    const int64_t distance = RankingDistance(name, candidate);
    if (distance <= NearDistance(name)) near.emplace_back(distance, candidate);
  }
  std::stable_sort(near.begin(), near.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (const auto& [distance, candidate] : near) {
    if (static_cast<int64_t>(names.size()) == limit) break;
    names.push_back(candidate);
  }
  return names;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& known) {
  const std::vector<std::string> near = NearestNames(name, known);
  if (near.empty()) return StrCat("known: ", StrJoin(known, ", "));
  return StrCat("did you mean '", StrJoin(near, "' or '"), "'?");
}

}  // namespace tunesmith
