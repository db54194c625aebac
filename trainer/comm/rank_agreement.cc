#include "trainer/comm/rank_agreement.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/text.h"

namespace tunesmith::trainer {
namespace {

using Text = std::array<char, 128>;

Text Fixed(const std::string& value) {
  Text text = {};
  std::memcpy(text.data(), value.data(), std::min(value.size(), text.size() - 1));
  return text;
}

// "aaa on rank 0, bbb on ranks 1, 2"
std::string Describe(const std::vector<Text>& values) {
  std::map<std::string, std::vector<std::string>> ranks;
  for (size_t rank = 0; rank < values.size(); ++rank)
    ranks[values[rank].data()].push_back(StrCat(rank));
  std::vector<std::string> parts;
  for (const auto& [value, numbers] : ranks)
    parts.push_back(
        StrCat(value, " on rank", numbers.size() > 1 ? "s " : " ", StrJoin(numbers, ", ")));
  return StrJoin(parts, "; ");
}

}  // namespace

absl::Status CheckRanksAgree(Communicator& communicator, absl::Span<const RankFact> facts) {
  absl::Status result;
  for (const RankFact& fact : facts) {
    const Text own = Fixed(fact.value);
    std::vector<Text> all(static_cast<size_t>(communicator.size()));
    TUNESMITH_RETURN_IF_ERROR(communicator.AllGather(own.data(), all.data(), sizeof own));
    const bool same = std::all_of(all.begin(), all.end(), [&](const Text& t) { return t == own; });
    if (result.ok() && !same)
      result = absl::FailedPreconditionError(
          StrCat("the ranks have different ", fact.name, "s: ", Describe(all),
                 "; start all of them with the same plan and the same build of the trainer"));
  }
  return result;
}

}  // namespace tunesmith::trainer
