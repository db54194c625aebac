#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tunesmith::trainer {

enum class RowKind { kText, kPromptCompletion };

// A row of a data set. Only `completion` is learned in a row of a prompt and its completion; all of `completion` in a row of text.
struct DataRow {
  int64_t line = 0;        // in the file, from 1
  std::string prompt;      // empty for a row of text
  std::string completion;  // the text
};

struct DataFile {
  std::string path;
  RowKind kind = RowKind::kText;
  std::vector<DataRow> rows;
  int64_t skipped_row_count = 0;  // lines that did not parse
};

struct JsonlOptions {
  bool skips_bad_rows = false;  // count lines that do not parse instead of failing
};

// Reads a file of JSON lines: {"text": "..."} on every line, or {"prompt": "...", "completion": "..."} on every line; other fields are ignored, blank lines
// are skipped. INVALID_ARGUMENT gives path, line and reason for a line that is not such an object or not UTF-8, for a line of the other kind, and for a
// file without a row.
absl::StatusOr<DataFile> ReadJsonl(const std::string& path, const JsonlOptions& options);

// As ReadJsonl, from a text.
absl::StatusOr<DataFile> ParseJsonl(std::string_view text, const std::string& path,
                                    const JsonlOptions& options);

}  // namespace tunesmith::trainer
