#include "client/show_size.h"

#include <algorithm>
#include <set>

#include "client/listings.h"
#include "client/show.h"
#include "common/text.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

bool Impossible(const v1::SizedDevices& sized) {
  return sized.verdict() == v1::SIZE_VERDICT_NOT_POSSIBLE;
}

// Counts that were not asked about, of whatever kind, with the reason of the first.
std::string SkippedLines(const v1::DeviceCountsAnswer& answer) {
  constexpr size_t kMostNamed = 12;
  std::set<int64_t> counts;
  std::string reason;
  for (const v1::SizedDevices& sized : answer.tried()) {
    if (!Impossible(sized)) continue;
    if (counts.empty()) reason = sized.sentence();
    counts.insert(sized.device_count());
  }
  if (counts.empty()) return "";
  std::vector<std::string> names;
  for (const int64_t count : counts) {
    if (names.size() < kMostNamed) names.push_back(StrCat(count));
  }
  const size_t more = counts.size() - names.size();
  return StrCat("not possible: ", StrJoin(names, ", "),
                more > 0 ? StrCat(" and ", more, " more") : "", " devices; of the first: ", reason,
                "\n");
}

std::string ShowCounts(const Output& output, const v1::DeviceCountsAnswer& answer) {
  std::string text =
      TextOf(output, DeviceCountListing(answer, /*impossible_too=*/false)) + SkippedLines(answer);
  const auto chosen = std::find_if(answer.tried().begin(), answer.tried().end(),
                                   [](const auto& sized) { return sized.rank() == 1; });
  if (chosen == answer.tried().end()) return StrCat(text, answer.choice_rule(), "\n");
  text += StrCat("* chosen: ", answer.choice_rule(), "\n");
  const v1::SizedDevices& fewest = answer.tried(static_cast<int>(answer.fewest_index()));
  if (fewest.rank() != 1)
    text += StrCat("fewest devices: ", fewest.device_count(), " x ", fewest.device_name(), ", ",
                   fewest.sentence(), "\n");
  return StrCat(text, "\n", ShowPrediction(chosen->best()));
}

std::string ShowContext(const v1::LongestContextAnswer& answer) {
  if (!answer.has_best()) return StrCat("nothing fits\n", answer.binding_sentence(), "\n");
  return StrCat("longest context: ", answer.context(), " tokens (asked up to ", answer.limit(),
                ")\nmix: ", answer.best().mix_line(), "\n", answer.binding_sentence(), "\n\n",
                ShowPrediction(answer.best()));
}

}  // namespace

std::string ShowSize(const Output& output, const v1::SizeResponse& answer,
                     const std::vector<std::string>& notes) {
  return StrCat(answer.has_device_counts() ? ShowCounts(output, answer.device_counts())
                                           : ShowContext(answer.longest_context()),
                answer.deadline_reached() ? "the search was cut short by the deadline\n" : "",
                ShowNotes(notes), ShowNotes({answer.notes().begin(), answer.notes().end()}));
}

}  // namespace tunesmith::client
