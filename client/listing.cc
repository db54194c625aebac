#include "client/listing.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "client/show.h"
#include "client/svg_chart.h"
#include "client/table.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

// Digits enough to tell any two times apart that a step may take.
std::string RawNumber(double value) { return absl::StrFormat("%.9g", value); }

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

Cell::Cell(std::string text) : shown(text), raw(std::move(text)) {}
Cell::Cell(const char* text) : Cell(std::string(text)) {}
Cell::Cell(std::string shown_text, std::string raw_text)
    : shown(std::move(shown_text)), raw(std::move(raw_text)) {}

Cell CountCell(int64_t count) { return Cell(StrCat(count)); }

Cell BytesCell(int64_t bytes) { return {Gib(bytes), StrCat(bytes)}; }

Cell SecondsCell(double seconds) {
  return seconds > 0 ? Cell(FormatSeconds(seconds), RawNumber(seconds)) : Cell("-", "");
}

Cell NumberCell(double value, int decimals) {
  return value > 0 ? Cell(absl::StrFormat("%.*f", decimals, value), RawNumber(value))
                   : Cell("-", "");
}

Listing::Listing(std::vector<Column> columns, std::string name_key)
    : columns_(std::move(columns)), name_key_(std::move(name_key)) {}

void Listing::AddRow(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }

void Listing::Prepend(Column column, const Cell& value) {
  columns_.insert(columns_.begin(), std::move(column));
  for (std::vector<Cell>& row : rows_) row.insert(row.begin(), value);
}

void Listing::Append(Listing other) {
  for (std::vector<Cell>& row : other.rows_) rows_.push_back(std::move(row));
}

std::string Listing::ToTable(bool wide, bool headers) const {
  std::vector<size_t> right_aligned, chosen;
  std::vector<std::string> titles;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].wide && !wide) continue;
    if (columns_[i].right_aligned) right_aligned.push_back(chosen.size());
    chosen.push_back(i);
    titles.push_back(columns_[i].title);
  }
  Table table(std::move(titles), std::move(right_aligned));
  for (const std::vector<Cell>& row : rows_) {
    std::vector<std::string> cells;
    for (const size_t i : chosen) cells.push_back(row[i].shown);
    table.AddRow(std::move(cells));
    if (emphasized_ > 0 && &row == &rows_[emphasized_ - 1]) table.EmphasizeLast();
  }
  return table.ToString(headers);
}

std::string Listing::ToHtml() const {
  std::string html = "<table><tr>";
  for (const Column& column : columns_)
    if (!column.wide) absl::StrAppend(&html, "<th>", EscapeHtml(column.title), "</th>");
  html += "</tr>\n";
  for (const std::vector<Cell>& row : rows_) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      if (!columns_[i].wide)
        absl::StrAppend(&html, columns_[i].right_aligned ? "<td class=\"n\">" : "<td>",
                        EscapeHtml(row[i].shown), "</td>");
    }
    html += "</tr>\n";
  }
  return rows_.empty() ? "" : html + "</table>\n";
}

std::string Listing::ToCsv(bool headers) const {
  std::string text;
  const auto add = [&](size_t i, const std::string& value) {
    absl::StrAppend(&text, Quoted(value), i + 1 == columns_.size() ? "\n" : ",");
  };
  for (size_t i = 0; headers && i < columns_.size(); ++i) add(i, columns_[i].key);
  for (const std::vector<Cell>& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) add(i, row[i].raw);
  }
  return text;
}

std::string Listing::ToNames() const {
  std::string text;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].key != name_key_) continue;
    for (const std::vector<Cell>& row : rows_) absl::StrAppend(&text, row[i].raw, "\n");
  }
  return text;
}

}  // namespace tunesmith::client
