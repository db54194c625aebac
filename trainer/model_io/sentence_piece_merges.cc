#include "trainer/model_io/sentence_piece_merges.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "common/str_cat.h"
#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

using Ids = absl::flat_hash_map<std::string, int64_t>;

struct Merge {
  double score = 0;
  int64_t left_length = 0;  // in characters
  int64_t right_length = 0;
  int64_t left_id = 0;
  int64_t right_id = 0;
};

// Where characters begin in `token`, and its end.
std::vector<size_t> CharacterEdges(std::string_view token) {
  std::vector<size_t> edges = {0};
  while (edges.back() < token.size()) {
    const int64_t size = Utf8CharacterBytes(token.substr(edges.back()));
    edges.push_back(edges.back() + static_cast<size_t>(std::max<int64_t>(size, 1)));
  }
  return edges;
}

// The pairs of pieces that make `token`, by their ids.
std::vector<Merge> MergesInto(std::string_view token, double score, const Ids& ids) {
  std::vector<Merge> merges;
  const std::vector<size_t> edges = CharacterEdges(token);
  const auto length = static_cast<int64_t>(edges.size()) - 1;
  for (int64_t i = 1; i < length; ++i) {
    const size_t edge = edges[static_cast<size_t>(i)];
    const auto left = ids.find(ToAbsl(token.substr(0, edge)));
    const auto right = ids.find(ToAbsl(token.substr(edge)));
    if (left == ids.end() || right == ids.end()) continue;
    merges.push_back({score, i, length - i, left->second, right->second});
  }
  std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tie(a.left_id, a.right_id) < std::tie(b.left_id, b.right_id);
  });
  return merges;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> MergesFromScores(
    const std::vector<std::string>& tokens, const std::vector<double>& scores) {
  Ids ids;
  for (size_t i = 0; i < tokens.size(); ++i) ids.emplace(tokens[i], static_cast<int64_t>(i));
  std::vector<Merge> merges;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::vector<Merge> some = MergesInto(tokens[i], scores[i], ids);
    merges.insert(merges.end(), some.begin(), some.end());
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tie(a.score, a.left_length, a.right_length) >
           std::tie(b.score, b.left_length, b.right_length);
  });
  std::vector<std::pair<std::string, std::string>> pairs;
  pairs.reserve(merges.size());
  for (const Merge& merge : merges)
    pairs.emplace_back(tokens[static_cast<size_t>(merge.left_id)],
                       tokens[static_cast<size_t>(merge.right_id)]);
  return pairs;
}

}  // namespace tunesmith::trainer
