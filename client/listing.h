#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tunesmith::client {

// One value of a row, for people and for programs: "1.50" under "memory GiB", 1610612736 under memory_bytes.
struct Cell {
  std::string shown;
  std::string raw;

  Cell(std::string text);  // the same for both NOLINT(google-explicit-constructor)
  Cell(const char* text);  // NOLINT(google-explicit-constructor)
  Cell(std::string shown_text, std::string raw_text);
};

Cell CountCell(int64_t count);

// Shown in GiB.
Cell BytesCell(int64_t bytes);

// Shown in the unit that suits; "-", and nothing for programs, where it is not above 0.
Cell SecondsCell(double seconds);

// Shown with so many decimals; "-", and nothing for programs, where it is not above 0.
Cell NumberCell(double value, int decimals);

// Records that are printed as a table for people, as comma-separated values for programs, or as names for other commands.
class Listing {
 public:
  struct Column {
    std::string key;    // in CSV: snake case, the unit as its suffix
    std::string title;  // in tables
    bool right_aligned = false;
    bool wide = false;  // in tables only where all columns are asked for
  };

  // `name_key` is the column whose values name the records.
  Listing(std::vector<Column> columns, std::string name_key);

  // REQUIRES: as many cells as columns.
  void AddRow(std::vector<Cell> cells);

  // The row that was added last stands out in tables, where there is colour.
  void EmphasizeLast() { emphasized_ = rows_.size(); }

  // A column before the others with the same value in each row.
  void Prepend(Column column, const Cell& value);

  // REQUIRES: the same columns.
  void Append(Listing other);

  std::string ToTable(bool wide, bool headers) const;

  // As ToTable, an HTML table.
  std::string ToHtml() const;

  // RFC 4180, but for lines that end in a line feed alone.
  std::string ToCsv(bool headers) const;

  // One per line.
  std::string ToNames() const;

 private:
  std::vector<Column> columns_;
  std::string name_key_;
  std::vector<std::vector<Cell>> rows_;
  size_t emphasized_ = 0;  // counted from 1; 0: none
};

}  // namespace tunesmith::client
