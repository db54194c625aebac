#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Rows of a file of published measurements. Column names are those of the file; see docs/benchmarks/published.md.
namespace tunesmith::published {

struct Row {
  int64_t line = 0;
  std::string id;
  std::map<std::string, std::string, std::less<>> cells;

  const std::string& Text(std::string_view column) const;  // "" where the column is empty or absent
  std::optional<double> Number(std::string_view column) const;  // none where it is empty
  std::string SourceKey() const;                                // "fms" of "fms-001"
};

struct BadRow {
  int64_t line = 0;
  std::string column;
  std::string problem;
};

struct RowFile {
  std::vector<Row> rows;
  std::vector<BadRow> bad_rows;  // left out of `rows`
};

// Rows that say something contradictory, or not a number where one belongs, are bad rows. INVALID_ARGUMENT for a file without the columns
// that are needed, naming them.
absl::StatusOr<RowFile> ParseRows(std::string_view text, std::string_view what);

}  // namespace tunesmith::published
