#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/data/chat_template.h"
#include "trainer/data/data_row.h"
#include "trainer/model_io/tokenizer.h"

namespace tunesmith::trainer {

// One row of the data set as tokens. loss_mask[i] is 1 where token i is to be learned.
struct Document {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> loss_mask;
};

struct DocumentSize {
  int64_t token_count = 0;
  int64_t predicted_count =
      0;  // tokens to be learned within the context that have a token before them
};

// The documents of a data set. Thread-safe.
class DocumentSource {
 public:
  DocumentSource() = default;
  DocumentSource(const DocumentSource&) = delete;
  DocumentSource& operator=(const DocumentSource&) = delete;
  virtual ~DocumentSource() = default;

  virtual int64_t document_count() const = 0;
  // REQUIRES, here and below: 0 <= index < document_count().
  virtual DocumentSize SizeOf(int64_t index) const = 0;
  // Where people find the document: the number of its line in the file, from 1.
  virtual int64_t RowOf(int64_t index) const { return index + 1; }
  // The document, uncut. Errors: the file cannot be read any more, or is another than when it was opened.
  virtual absl::StatusOr<Document> Read(int64_t index) const = 0;
};

// What rows are made into tokens with. Thread-safe.
struct RowTokenizer {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // of conversations; none: they are refused
};

// A row as tokens. A text or a prompt and its completion: the tokenizer's template tokens first (a begin-of-text token, for the models that have one),
// then the prompt and the completion, each tokenized by itself where the tokenizer puts nothing before a text, then the end-of-text token; the completion
// and the end-of-text token are learned. A conversation: what the chat template writes, tokenized as one text; the parts of ChatTemplate::RenderMasked are
// learned, with the tokens that lie in them in part. INVALID_ARGUMENT or the template's errors say why it cannot be done.
absl::StatusOr<Document> TokenizeRow(const DataRow& row, const RowTokenizer& with);

// Tokens to be learned among the first `size` that have a token before them.
int64_t PredictedCount(const Document& document, int64_t size);

// Lets only the predicted tokens `first` to `first + count` - 1 of a document be learned.
void MaskAllBut(int64_t first, int64_t count, Document* document);

// Documents that lie in memory. Predicted tokens are counted within the first `context` tokens.
std::shared_ptr<const DocumentSource> InMemory(std::vector<Document> documents, int64_t context);

}  // namespace tunesmith::trainer
