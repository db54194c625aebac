#include "trainer/data/documents.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

void Append(const std::vector<int32_t>& tokens, bool learned, Document* document) {
  document->tokens.insert(document->tokens.end(), tokens.begin(), tokens.end());
  document->loss_mask.resize(document->tokens.size(), learned ? 1 : 0);
}

// Whether tokenizing two texts one after the other puts something between them.
bool PrependsToTexts(const TokenizerSpec& spec) {
  const auto prepends = [](const auto& step) {
    if (const auto* metaspace = std::get_if<MetaspaceStep>(&step))
      return metaspace->prepends != PrependScheme::kNever;
    const auto* byte_level = std::get_if<ByteLevelStep>(&step);
    return byte_level != nullptr && byte_level->prepends_space;
  };
  return std::any_of(spec.normalizer.begin(), spec.normalizer.end(),
                     [](const auto& s) { return std::holds_alternative<PrependStep>(s); }) ||
         std::any_of(spec.pre_tokenizer.begin(), spec.pre_tokenizer.end(), prepends);
}

// Prompt and completion as one text: what is learned begins with the token that holds the completion's first byte.
absl::Status AppendWhole(const DataRow& row, const Tokenizer& tokenizer, Document* document) {
  std::vector<int64_t> token_of;
  TUNESMITH_ASSIGN_OR_RETURN(
      const std::vector<int32_t> tokens,
      tokenizer.EncodeAt(row.prompt + row.completion, {static_cast<int64_t>(row.prompt.size())},
                         &token_of));
  const auto boundary =
      tokens.begin() + static_cast<std::ptrdiff_t>(std::max<int64_t>(token_of[0], 0));
  Append({tokens.begin(), boundary}, false, document);
  Append({boundary, tokens.end()}, true, document);
  return absl::OkStatus();
}

absl::Status AppendApart(const DataRow& row, const Tokenizer& tokenizer, Document* document) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt,
                             tokenizer.Encode(row.prompt, false));
  Append(prompt, false, document);
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int32_t> completion,
                             tokenizer.Encode(row.completion, false));
  Append(completion, true, document);
  return absl::OkStatus();
}

// A row may bring its own first token, as texts do that a chat template wrote: then it has that alone, as in TRL.
void Prepend(const std::vector<int32_t>& tokens, Document* document) {
  const bool has_them = document->tokens.size() >= tokens.size() &&
                        std::equal(tokens.begin(), tokens.end(), document->tokens.begin());
  if (has_them) return;
  document->tokens.insert(document->tokens.begin(), tokens.begin(), tokens.end());
  document->loss_mask.insert(document->loss_mask.begin(), tokens.size(), 0);
}

// The same of its last.
void AddEnd(int32_t token, Document* document) {
  const bool has_it = !document->tokens.empty() && document->tokens.back() == token;
  if (!has_it) Append({token}, true, document);
}

absl::StatusOr<Document> TokenizeText(const DataRow& row, const Tokenizer& tokenizer) {
  Document document;
  TUNESMITH_RETURN_IF_ERROR(PrependsToTexts(tokenizer.spec())
                                ? AppendWhole(row, tokenizer, &document)
                                : AppendApart(row, tokenizer, &document));
  Prepend(tokenizer.spec().prefix_ids, &document);
  if (tokenizer.eos_id().has_value()) AddEnd(*tokenizer.eos_id(), &document);
  return document;
}

absl::StatusOr<Document> TokenizeChat(const DataRow& row, const RowTokenizer& with) {
  if (!with.chat_template.has_value()) {
    return absl::InvalidArgumentError(
        "the model has no chat template, which conversations need; give one with --chat-template, "
        "or rows of prompt and completion");
  }
  TUNESMITH_ASSIGN_OR_RETURN(const MaskedText masked, with.chat_template->RenderMasked(row.chat));
  std::vector<int64_t> positions, token_of;
  for (const jinja::TextSpan& span : masked.learned) {
    positions.push_back(span.begin);
    positions.push_back(span.end - 1);
  }
  Document document;
  TUNESMITH_ASSIGN_OR_RETURN(document.tokens,
                             with.tokenizer->EncodeAt(masked.text, positions, &token_of));
  document.loss_mask.assign(document.tokens.size(), 0);
  for (size_t i = 0; i + 1 < token_of.size(); i += 2) {
    for (int64_t t = std::max<int64_t>(token_of[i], 0); t <= token_of[i + 1]; ++t)
      document.loss_mask[static_cast<size_t>(t)] = 1;
  }
  return document;
}

class MemorySource : public DocumentSource {
 public:
  MemorySource(std::vector<Document> documents, int64_t context)
      : documents_(std::move(documents)), context_(context) {}

  int64_t document_count() const override { return static_cast<int64_t>(documents_.size()); }
  DocumentSize SizeOf(int64_t index) const override {
    const Document& document = documents_[static_cast<size_t>(index)];
    const auto size = static_cast<int64_t>(document.tokens.size());
    return {size, PredictedCount(document, std::min(size, context_))};
  }
  absl::StatusOr<Document> Read(int64_t index) const override {
    return documents_[static_cast<size_t>(index)];
  }

 private:
  std::vector<Document> documents_;
  int64_t context_;
};

}  // namespace

absl::StatusOr<Document> TokenizeRow(const DataRow& row, const RowTokenizer& with) {
  return row.chat.empty() ? TokenizeText(row, *with.tokenizer) : TokenizeChat(row, with);
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

std::shared_ptr<const DocumentSource> InMemory(std::vector<Document> documents, int64_t context) {
  return std::make_shared<MemorySource>(std::move(documents), context);
}

}  // namespace tunesmith::trainer
