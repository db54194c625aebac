#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/data/jsonl.h"
#include "trainer/model_io/tokenizer.h"

namespace tunesmith::trainer {

// One row of the data set as tokens. loss_mask[i] is 1 where token i is to be learned.
struct Document {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> loss_mask;
};

// Tokenizes rows: the tokenizer's template tokens first (a begin-of-text token, for the models that have one), then the prompt and the completion, each
// tokenized by itself, then the end-of-text token. The completion (or text) and the end-of-text token are learned; the rest is not. INVALID_ARGUMENT names
// the row that does not tokenize.
absl::StatusOr<std::vector<Document>> TokenizeRows(const DataFile& file,
                                                   const Tokenizer& tokenizer);

// Tokens to be learned among the first `size` that have a token before them.
int64_t PredictedCount(const Document& document, int64_t size);

// Lets only the predicted tokens `first` to `first + count` - 1 of a document be learned.
void MaskAllBut(int64_t first, int64_t count, Document* document);

// Tokens of all documents.
int64_t TokenCount(const std::vector<Document>& documents);

}  // namespace tunesmith::trainer
