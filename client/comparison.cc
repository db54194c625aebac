#include "client/comparison.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_format.h"
#include "client/memory_classes.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "nlohmann/json.hpp"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

// The value of an axis in a line of "axis=value"; "-" where it is not said.
std::string AxisValue(const std::string& line, std::string_view axis) {
  for (const std::string_view word : StrSplitSkipEmpty(line, " ")) {
    if (word.size() > axis.size() && word.starts_with(axis) && word[axis.size()] == '=')
      return std::string(word.substr(axis.size() + 1));
  }
  return "-";
}

std::vector<std::string> AxesOf(const std::vector<ComparedMix>& compared) {
  std::vector<std::string> axes;
  for (const ComparedMix& one : compared) {
    for (const std::string_view word : StrSplitSkipEmpty(one.mix.mix_line(), " ")) {
      const std::string axis(word.substr(0, word.find('=')));
      if (std::find(axes.begin(), axes.end(), axis) == axes.end()) axes.push_back(axis);
    }
  }
  return axes;
}

bool AllEqual(const std::vector<Cell>& cells, size_t begin) {
  return std::all_of(cells.begin() + static_cast<ptrdiff_t>(begin), cells.end(),
                     [&](const Cell& cell) { return cell.raw == cells[begin].raw; });
}

using CellOf = std::function<Cell(const v1::RankedMix&)>;

std::vector<Cell> Row(const std::string& name, const std::vector<ComparedMix>& compared,
                      const CellOf& cell_of) {
  std::vector<Cell> row = {name};
  for (const ComparedMix& one : compared) row.push_back(cell_of(one.mix));
  return row;
}

void AddMemory(const std::vector<ComparedMix>& compared, Listing& listing) {
  const std::vector<MemoryClass> classes = MemoryClasses({});
  for (size_t i = 0; i < classes.size(); ++i) {
    std::vector<Cell> row = Row(classes[i].name + ", GiB", compared, [&](const v1::RankedMix& mix) {
      return BytesCell(MemoryClasses(mix.prediction().memory())[i].bytes);
    });
    const bool none = AllEqual(row, 1) && row[1].raw == "0";
    if (!none) listing.AddRow(std::move(row));
  }
}

Cell RelativeTo(double first, double value) {
  return first > 0 ? Cell(absl::StrFormat("%+.1f %%", 100 * (value / first - 1)),
                          absl::StrFormat("%.6g", value / first))
                   : Cell("-", "");
}

}  // namespace

Listing ComparisonListing(const std::vector<ComparedMix>& compared) {
  std::vector<Listing::Column> columns = {{"quantity", ""}};
  for (const ComparedMix& one : compared) columns.push_back({one.name, one.name, true});
  Listing listing(std::move(columns), "quantity");
  for (const std::string& axis : AxesOf(compared)) {
    std::vector<Cell> row = Row(axis, compared, [&](const v1::RankedMix& mix) {
      return Cell(AxisValue(mix.mix_line(), axis));
    });
    if (!AllEqual(row, 1)) listing.AddRow(std::move(row));
  }
  AddMemory(compared, listing);
  const auto total = [](const v1::RankedMix& mix) {
    return mix.prediction().memory().total_bytes();
  };
  const auto step = [](const v1::RankedMix& mix) { return mix.prediction().time().step_seconds(); };
  const v1::RankedMix& first = compared.front().mix;
  const auto add = [&](const std::string& name, const CellOf& cell_of) {
    listing.AddRow(Row(name, compared, cell_of));
  };
  add("total, GiB", [&](const v1::RankedMix& mix) { return BytesCell(total(mix)); });
  add("available, GiB",
      [](const v1::RankedMix& mix) { return BytesCell(mix.prediction().memory().budget_bytes()); });
  add("fits", [](const v1::RankedMix& mix) { return mix.prediction().fits() ? "yes" : "no"; });
  add("binds at",
      [](const v1::RankedMix& mix) { return Cell(mix.prediction().memory().binding_instant()); });
  add("step", [&](const v1::RankedMix& mix) { return SecondsCell(step(mix)); });
  add("tokens/s", [](const v1::RankedMix& mix) {
    return NumberCell(mix.prediction().time().tokens_per_second(), 0);
  });
  add("hours", [](const v1::RankedMix& mix) {
    return NumberCell(mix.prediction().time().total_hours(), 2);
  });
  add("memory, to the first", [&](const v1::RankedMix& mix) {
    return RelativeTo(static_cast<double>(total(first)), static_cast<double>(total(mix)));
  });
  add("step, to the first",
      [&](const v1::RankedMix& mix) { return RelativeTo(step(first), step(mix)); });
  return listing;
}

std::string ComparisonJson(const std::vector<ComparedMix>& compared) {
  auto mixes = nlohmann::ordered_json::array();
  for (const ComparedMix& one : compared) {
    auto mix = nlohmann::ordered_json::parse(convert::ToJson(one.mix), nullptr, false);
    mixes.push_back({{"name", one.name}, {"mix", std::move(mix)}});
  }
  return nlohmann::ordered_json{{"compared", mixes}}.dump(2);
}

}  // namespace tunesmith::client
