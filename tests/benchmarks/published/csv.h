#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Comma-separated values with quotes (RFC 4180), for files of measurements.
namespace tunesmith::published {

struct CsvRecord {
  int64_t line = 0;  // of its first character; the first line is 1
  std::vector<std::string> cells;
};

// All records, the header first. INVALID_ARGUMENT naming the line of a quote that is not closed, or if the text holds no record.
absl::StatusOr<std::vector<CsvRecord>> ParseCsv(std::string_view text, std::string_view what);

}  // namespace tunesmith::published
