#include "client/table.h"

#include <algorithm>
#include <span>
#include <utility>

#include "client/style.h"
#include "common/str_cat.h"

namespace tunesmith::client {

Table::Table(std::vector<std::string> header, std::vector<size_t> right_aligned)
    : right_aligned_(std::move(right_aligned)) {
  rows_.push_back(std::move(header));
}

void Table::AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::ToString(bool headers) const {
  const std::span<const std::vector<std::string>> rows = std::span(rows_).subspan(headers ? 0 : 1);
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows) {
    for (size_t column = 0; column < row.size(); ++column)
      widths[column] = std::max(widths[column], CharacterCount(row[column]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - CharacterCount(row[column]), ' ');
      const bool right =
          std::find(right_aligned_.begin(), right_aligned_.end(), column) != right_aligned_.end();
      const bool last = column + 1 == row.size();
      line += right ? padding + row[column] : row[column] + (last ? "" : padding);
      line += last ? "" : "  ";
    }
    const bool emphasized = emphasized_ > 0 && &row == &rows_[emphasized_];
    absl::StrAppend(&text, emphasized ? Styled(Style::kGood, line) : line, "\n");
  }
  return text;
}

size_t CharacterCount(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace tunesmith::client
