#include "trainer/model_io/tokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "trainer/model_io/byte_alphabet.h"

namespace tunesmith::trainer {
namespace {

// Unicode's composed form. Everything below U+0300 (lead byte 0xcc) is composed already. REQUIRES: valid UTF-8.
absl::StatusOr<std::string> ComposeNfc(std::string_view text) {
  if (std::none_of(text.begin(), text.end(),
                   [](char c) { return static_cast<uint8_t>(c) >= 0xcc; }))
    return std::string(text);
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, &std::free);
  if (size < 0)
    return absl::InvalidArgumentError(StrCat("cannot normalize the text: ", utf8proc_errmsg(size)));
  return std::string(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
}

std::vector<AddedToken> Select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> selected;
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized) selected.push_back(token);
  }
  return selected;
}

std::vector<std::string> BytesOfIds(const TokenizerSpec& spec) {
  std::vector<std::string> bytes;
  for (const std::string& token : spec.tokens) bytes.push_back(BytesOfToken(token).value_or(token));
  for (const AddedToken& token : spec.added_tokens)
    bytes[static_cast<size_t>(token.id)] = token.content;
  return bytes;
}

absl::Status CheckIds(const TokenizerSpec& spec) {
  std::vector<int32_t> ids = spec.prefix_ids;
  ids.insert(ids.end(), spec.suffix_ids.begin(), spec.suffix_ids.end());
  for (const AddedToken& token : spec.added_tokens) ids.push_back(token.id);
  if (spec.unknown_id.has_value()) ids.push_back(*spec.unknown_id);
  if (spec.bos_id.has_value()) ids.push_back(*spec.bos_id);
  if (spec.eos_id.has_value()) ids.push_back(*spec.eos_id);
  for (const int32_t id : ids) {
    if (id < 0 || id >= static_cast<int64_t>(spec.tokens.size()) ||
        spec.tokens[static_cast<size_t>(id)].empty()) {
      return absl::InvalidArgumentError(
          StrCat(spec.what, ": the special token id ", id, " is not in the vocabulary"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec, PreTokenizer pre_tokenizer, Bpe bpe)
    : spec_(std::move(spec)),
      raw_tokens_(Select(spec_.added_tokens, false)),
      normalized_tokens_(Select(spec_.added_tokens, true)),
      pre_tokenizer_(std::move(pre_tokenizer)),
      bpe_(std::move(bpe)),
      bytes_of_id_(BytesOfIds(spec_)) {}

absl::StatusOr<Tokenizer> Tokenizer::Create(TokenizerSpec spec) {
  TUNESMITH_RETURN_IF_ERROR(CheckIds(spec));
  TUNESMITH_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::Create(spec.splits));
  TUNESMITH_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(spec));
  return Tokenizer(std::move(spec), std::move(pre_tokenizer), std::move(bpe));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text,
                                                       bool add_special) const {
  if (const int64_t at = FirstInvalidUtf8(text); at >= 0) {
    return absl::InvalidArgumentError(StrCat("the text is not UTF-8 at byte ", at));
  }
  std::vector<int32_t> ids;
  if (add_special) ids = spec_.prefix_ids;
  for (const AddedTokens::Piece& piece : raw_tokens_.Split(text)) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      TUNESMITH_RETURN_IF_ERROR(EncodeText(piece.text, &ids));
    }
  }
  if (add_special) ids.insert(ids.end(), spec_.suffix_ids.begin(), spec_.suffix_ids.end());
  return ids;
}

absl::Status Tokenizer::EncodeText(std::string_view text, std::vector<int32_t>* ids) const {
  if (!spec_.normalizes_nfc) return EncodeNormalized(text, ids);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string composed, ComposeNfc(text));
  return EncodeNormalized(composed, ids);
}

absl::Status Tokenizer::EncodeNormalized(std::string_view text, std::vector<int32_t>* ids) const {
  for (const AddedTokens::Piece& piece : normalized_tokens_.Split(text)) {
    if (piece.id >= 0) {
      ids->push_back(piece.id);
      continue;
    }
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<std::string_view> words,
                               pre_tokenizer_.Split(piece.text));
    for (const std::string_view word : words) bpe_.Encode(word, ids);
  }
  return absl::OkStatus();
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (id >= 0 && id < vocab_size()) bytes += bytes_of_id_[static_cast<size_t>(id)];
  }
  return ReplaceInvalidUtf8(bytes);
}

}  // namespace tunesmith::trainer
