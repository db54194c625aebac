#include "client/show_explanation.h"

#include "absl/strings/ascii.h"
#include "client/show.h"
#include "client/table.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

constexpr char kCutShort[] = "; the deadline passed before all were tried";

// "EXPLAINED_AXIS_MICRO_BATCH" as "micro_batch".
std::string Lower(const std::string& name, std::string_view prefix) {
  return absl::AsciiStrToLower(name.substr(prefix.size()));
}

std::vector<std::string> Row(const std::string& name, const std::string& value,
                             const v1::RankedMix& best, const std::string& sentence) {
  return {name, value, FormatSeconds(best.prediction().time().step_seconds()),
          Gib(best.prediction().memory().total_bytes()), sentence};
}

std::string InstantTable(const v1::Explanation& explanation) {
  Table table({"instant", "arena GiB"}, {1});
  for (const v1::InstantNeed& need : explanation.instants())
    table.AddRow({need.instant(), Gib(need.arena_bytes())});
  return table.ToString();
}

}  // namespace

std::string ExplainedAxisName(v1::ExplainedAxis axis) {
  return Lower(v1::ExplainedAxis_Name(axis), "EXPLAINED_AXIS_");
}

Listing AlternativeListing(const v1::Explanation& explanation) {
  Listing listing({{"axis", "not chosen"},
                   {"value", "value"},
                   {"step_seconds", "step", true},
                   {"memory_bytes", "memory GiB", true},
                   {"mix", "mix", false, true},
                   {"reason", "because"}},
                  "axis");
  for (const v1::Alternative& a : explanation.alternatives()) {
    const v1::Prediction& p = a.best().prediction();
    listing.AddRow({ExplainedAxisName(a.axis()), a.value(), SecondsCell(p.time().step_seconds()),
                    BytesCell(p.memory().total_bytes()), a.best().mix_line(), a.sentence()});
  }
  return listing;
}

std::string ShowExplanation(const v1::Explanation& explanation) {
  return StrCat("\n", explanation.binding_sentence(), "\n", InstantTable(explanation), "\n",
                AlternativeListing(explanation).ToTable(/*wide=*/false, /*headers=*/true),
                explanation.deadline_reached()
                    ? StrCat("the explanation was cut short", kCutShort, "\n")
                    : "");
}

std::string ShowChanges(const v1::RecommendResponse& answer) {
  const std::string cut_short = answer.changes_cut_short() ? kCutShort : "";
  if (answer.changes().empty()) return StrCat("no single change makes it fit", cut_short, "\n");
  Table table({"change", "to", "step", "memory GiB", "what it means"}, {2, 3});
  for (const v1::Change& change : answer.changes()) {
    table.AddRow(Row(Lower(v1::ChangeKind_Name(change.kind()), "CHANGE_KIND_"), change.value(),
                     change.best(), change.sentence()));
  }
  return StrCat("\nany one of these makes it fit", cut_short, ":\n", table.ToString());
}

}  // namespace tunesmith::client
