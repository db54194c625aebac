#include "client/show_size.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "client/show.h"
#include "client/table.h"
#include "common/text.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

// "SIZE_VERDICT_TOO_LATE" as "too late".
std::string VerdictName(v1::SizeVerdict verdict) {
  std::string name = absl::AsciiStrToLower(
      v1::SizeVerdict_Name(verdict).substr(std::string_view("SIZE_VERDICT_").size()));
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::string Amount(double amount) { return amount > 0 ? absl::StrFormat("%.2f", amount) : "-"; }

bool Impossible(const v1::SizedDevices& sized) {
  return sized.verdict() == v1::SIZE_VERDICT_NOT_POSSIBLE;
}

std::vector<std::string> Row(const v1::SizedDevices& sized, bool priced) {
  const v1::Prediction& p = sized.best().prediction();
  const bool fits = p.fits();
  std::vector<std::string> row = {sized.rank() == 1 ? "*" : " ",
                                  sized.rank() > 0 ? StrCat(sized.rank()) : "-",
                                  sized.device_name(),
                                  StrCat(sized.device_count()),
                                  StrCat(sized.node_count()),
                                  sized.has_best() ? Gib(p.memory().total_bytes()) : "-",
                                  fits ? FormatSeconds(p.time().step_seconds()) : "-",
                                  fits ? Amount(p.time().total_hours()) : "-",
                                  fits ? Amount(sized.best().device_hours()) : "-"};
  if (priced) row.push_back(fits ? Amount(sized.best().cost()) : "-");
  row.push_back(VerdictName(sized.verdict()));
  row.push_back(sized.sentence());
  row.push_back(sized.has_best() ? sized.best().mix_line() : "-");
  return row;
}

std::string CountTable(const v1::DeviceCountsAnswer& answer) {
  const bool priced = std::any_of(answer.tried().begin(), answer.tried().end(),
                                  [](const auto& sized) { return sized.best().cost() > 0; });
  std::vector<std::string> header = {" ",          "#",    "device", "count",       "nodes",
                                     "memory GiB", "step", "hours",  "device-hours"};
  if (priced) header.push_back("cost");
  for (const char* column : {"answer", "because", "mix"}) header.push_back(column);
  Table table(header, {1, 3, 4, 5, 6, 7, 8, priced ? size_t{9} : size_t{8}});
  for (const v1::SizedDevices& sized : answer.tried()) {
    if (!Impossible(sized)) table.AddRow(Row(sized, priced));
  }
  return table.ToString();
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

std::string ShowCounts(const v1::DeviceCountsAnswer& answer) {
  std::string text = CountTable(answer) + SkippedLines(answer);
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

std::string ShowSize(const v1::SizeResponse& answer, const std::vector<std::string>& notes) {
  return StrCat(answer.has_device_counts() ? ShowCounts(answer.device_counts())
                                           : ShowContext(answer.longest_context()),
                answer.deadline_reached() ? "the search was cut short by the deadline\n" : "",
                ShowNotes(notes), ShowNotes({answer.notes().begin(), answer.notes().end()}));
}

}  // namespace tunesmith::client
