#pragma once

#include <cstdint>
#include <vector>

namespace tunesmith::trainer {

// One micro-batch of packed rows: the only inputs of a step program that change from step to step.
// Every array but the last three is (row_count, context), row-major. A token t of a row attends to the tokens
// document_starts[t] .. t of the same row, so attention never crosses documents.
struct Batch {
  int64_t row_count = 0;
  int64_t context = 0;
  std::vector<int32_t> tokens;           // 0 where padded
  std::vector<int32_t> positions;        // within the document, from 0; 0 where padded
  std::vector<int32_t> document_starts;  // index within the row of the document's first token;
                                         // padding attends to itself alone: t
  // Where the loss is computed on `capacity` tokens of a row: (row_count, capacity), which these are,
  // as indices into the other arrays, ascending; a row with fewer has -1 behind them. Else empty.
  std::vector<int32_t> loss_rows;
  // The token to predict (already shifted: tokens[t + 1] of the same document), or -1 where there is
  // no loss: padding, prompt tokens, the last token of a document. For every token, or, where
  // loss_rows is not empty, for every entry of it.
  std::vector<int32_t> labels;
  std::vector<int64_t> documents;  // that it holds: DocumentSource::RowOf of each, row by row
  int64_t token_count = 0;         // that are not padding
  int64_t valid_label_count = 0;   // labels that are not -1
};

}  // namespace tunesmith::trainer
