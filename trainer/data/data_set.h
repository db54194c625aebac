#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/data/data_row.h"
#include "trainer/data/documents.h"

namespace tunesmith::trainer {

struct DataSetOptions {
  std::optional<RowFormat> format;  // none: as the first row that parses tells
  bool skips_bad_rows = false;      // count rows that cannot be used instead of failing
  int64_t context = 0;              // within which predicted tokens are counted
  int64_t thread_count = 0;         // that tokenize; 0: one per processor
};

struct DataSet {
  std::shared_ptr<const DocumentSource> documents;
  RowFormat format = RowFormat::kText;
  int64_t skipped_row_count = 0;
  // Of all documents' tokens and masks, in order: tells data sets apart, and what the tokenizer and the template make of them.
  uint64_t digest = 0;
};

// The rows of a file of JSON lines as documents. Every row is tokenized once here, to see that it can be used and how long it is; kept are 24 bytes for each,
// and a row is read from the file and tokenized again when it is asked for, so files may be larger than memory. Blank lines are skipped. INVALID_ARGUMENT gives
// path, line and reason of the first row that cannot be used (not UTF-8, no JSON object, of another form, refused by the chat template), or the file has no row.
absl::StatusOr<DataSet> OpenDataSet(const std::string& path, const RowTokenizer& with,
                                    const DataSetOptions& options);

// A data set in two: `share` of its documents are held out. Which ones depends on seed and row alone.
struct SplitDocuments {
  std::shared_ptr<const DocumentSource> training;
  std::shared_ptr<const DocumentSource> held_out;
};
// INVALID_ARGUMENT where a part would be empty. REQUIRES: 0 < share < 1.
absl::StatusOr<SplitDocuments> HoldOut(std::shared_ptr<const DocumentSource> documents,
                                       double share, uint64_t seed);

}  // namespace tunesmith::trainer
