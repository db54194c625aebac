#include "trainer/data/documents.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

void Append(const std::vector<int32_t>& tokens, bool learned, Document* document) {
  document->tokens.insert(document->tokens.end(), tokens.begin(), tokens.end());
  document->loss_mask.resize(document->tokens.size(), learned ? 1 : 0);
}

absl::StatusOr<Document> TokenizeRow(const DataRow& row, const Tokenizer& tokenizer) {
  Document document;
  Append(tokenizer.spec().prefix_ids, false, &document);
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt,
                             tokenizer.Encode(row.prompt, false));
  Append(prompt, false, &document);
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int32_t> completion,
                             tokenizer.Encode(row.completion, false));
  Append(completion, true, &document);
  if (tokenizer.eos_id().has_value()) Append({*tokenizer.eos_id()}, true, &document);
  return document;
}

}  // namespace

absl::StatusOr<std::vector<Document>> TokenizeRows(const DataFile& file,
                                                   const Tokenizer& tokenizer) {
  std::vector<Document> documents;
  documents.reserve(file.rows.size());
  for (const DataRow& row : file.rows) {
    absl::StatusOr<Document> document = TokenizeRow(row, tokenizer);
    if (!document.ok()) {
      return absl::InvalidArgumentError(
          StrCat(file.path, ", line ", row.line, ": ", document.status().message()));
    }
    documents.push_back(*std::move(document));
  }
  return documents;
}

int64_t PredictedCount(const Document& document, int64_t size) {
  if (size < 2) return 0;
  return std::count_if(document.loss_mask.begin() + 1, document.loss_mask.begin() + size,
                       [](uint8_t learned) { return learned != 0; });
}

void MaskAllBut(int64_t first, int64_t count, Document* document) {
  int64_t predicted = 0;
  for (size_t i = 1; i < document->loss_mask.size(); ++i) {
    uint8_t& learned = document->loss_mask[i];
    if (learned == 0) continue;
    learned = predicted >= first && predicted < first + count ? 1 : 0;
    ++predicted;
  }
}

int64_t TokenCount(const std::vector<Document>& documents) {
  int64_t count = 0;
  for (const Document& document : documents) count += static_cast<int64_t>(document.tokens.size());
  return count;
}

}  // namespace tunesmith::trainer
