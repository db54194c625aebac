#include "trainer/model_io/tokenizer.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

// Tokens that are looked for after normalization are looked for by what it makes of them.
absl::StatusOr<std::vector<AddedToken>> Normalized(std::vector<AddedToken> tokens,
                                                   const Normalizer& normalizer) {
  for (AddedToken& token : tokens) {
    if (!token.normalized) continue;
    TUNESMITH_ASSIGN_OR_RETURN(token.content, normalizer.Apply(token.content));
  }
  return tokens;
}

AddedTokens Select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> selected;
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized) selected.push_back(token);
  }
  return AddedTokens(std::move(selected));
}

// By id. `added` are the spec's, or what the normalizer makes of them.
std::vector<std::string> TextsOfIds(const TokenizerSpec& spec,
                                    const std::vector<AddedToken>& added) {
  std::vector<std::string> texts = spec.tokens;
  texts.resize(static_cast<size_t>(VocabSize(spec)));
  for (const AddedToken& token : added) texts[static_cast<size_t>(token.id)] = token.content;
  return texts;
}

absl::Status CheckIds(const TokenizerSpec& spec) {
  std::vector<int32_t> ids = spec.prefix_ids;
  ids.insert(ids.end(), spec.suffix_ids.begin(), spec.suffix_ids.end());
  for (const AddedToken& token : spec.added_tokens) ids.push_back(token.id);
  if (spec.unknown_id.has_value()) ids.push_back(*spec.unknown_id);
  if (spec.bos_id.has_value()) ids.push_back(*spec.bos_id);
  if (spec.eos_id.has_value()) ids.push_back(*spec.eos_id);
  const std::vector<std::string> texts = TextsOfIds(spec, spec.added_tokens);
  for (const int32_t id : ids) {
    if (id < 0 || id >= static_cast<int64_t>(texts.size()) ||
        texts[static_cast<size_t>(id)].empty()) {
      return absl::InvalidArgumentError(
          StrCat(spec.what, ": the special token id ", id, " is not in the vocabulary"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec, Parts parts)
    : spec_(std::move(spec)), parts_(std::move(parts)) {}

absl::StatusOr<Tokenizer> Tokenizer::Create(TokenizerSpec spec) {
  TUNESMITH_RETURN_IF_ERROR(CheckIds(spec));
  TUNESMITH_ASSIGN_OR_RETURN(Normalizer normalizer, Normalizer::Create(spec.normalizer));
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<AddedToken> added,
                             Normalized(spec.added_tokens, normalizer));
  TUNESMITH_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::Create(spec.pre_tokenizer));
  TUNESMITH_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(spec));
  TUNESMITH_ASSIGN_OR_RETURN(TokenDecoder decoder, TokenDecoder::Create(spec.decoder));
  std::vector<std::string> texts = TextsOfIds(spec, added);
  return Tokenizer(std::move(spec), {Select(added, false), std::move(normalizer),
                                     Select(added, true), std::move(pre_tokenizer), std::move(bpe),
                                     std::move(decoder), std::move(texts)});
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text,
                                                       bool add_special) const {
  if (const int64_t at = FirstInvalidUtf8(text); at >= 0) {
    return absl::InvalidArgumentError(StrCat("the text is not UTF-8 at byte ", at));
  }
  std::vector<int32_t> ids;
  if (add_special) ids = spec_.prefix_ids;
  for (const AddedTokens::Piece& piece : parts_.raw_tokens.Split(text)) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      TUNESMITH_RETURN_IF_ERROR(
          EncodeText(piece.text, piece.text.data() == text.data(), &ids, nullptr));
    }
  }
  if (add_special) ids.insert(ids.end(), spec_.suffix_ids.begin(), spec_.suffix_ids.end());
  return ids;
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodeAt(std::string_view text,
                                                         absl::Span<const int64_t> positions,
                                                         std::vector<int64_t>* token_of) const {
  if (const int64_t at = FirstInvalidUtf8(text); at >= 0)
    return absl::InvalidArgumentError(StrCat("the text is not UTF-8 at byte ", at));
  std::vector<int32_t> ids;
  token_of->assign(positions.size(), -1);
  size_t next = 0;  // position
  const std::vector<AddedTokens::Piece> pieces = parts_.raw_tokens.Split(text);
  const auto begin_of = [&](size_t piece) { return pieces[piece].text.data() - text.data(); };
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto first = static_cast<int64_t>(ids.size());
    const int64_t begin = begin_of(i);
    const int64_t end =
        i + 1 < pieces.size() ? begin_of(i + 1) : static_cast<int64_t>(text.size()) + 1;
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<size_t> begins,
                               EncodePiece(pieces[i], begin == 0, &ids));
    for (; next < positions.size() && positions[next] < end; ++next) {
      if (positions[next] < begin) continue;
      TUNESMITH_ASSIGN_OR_RETURN(const int64_t token,
                                 TokenAt(pieces[i], positions[next] - begin, begins));
      (*token_of)[next] = first + token;
    }
  }
  return ids;
}

absl::StatusOr<std::vector<size_t>> Tokenizer::EncodePiece(const AddedTokens::Piece& piece,
                                                           bool begins_text,
                                                           std::vector<int32_t>* ids) const {
  std::vector<size_t> begins;
  if (piece.id < 0) {
    TUNESMITH_RETURN_IF_ERROR(EncodeText(piece.text, begins_text, ids, &begins));
  } else {
    ids->push_back(piece.id);
    begins.push_back(0);
  }
  return begins;
}

absl::StatusOr<int64_t> Tokenizer::TokenAt(const AddedTokens::Piece& piece, int64_t offset,
                                           const std::vector<size_t>& begins) const {
  size_t normalized = std::min(static_cast<size_t>(offset), piece.text.size());
  if (piece.id < 0) {
    TUNESMITH_ASSIGN_OR_RETURN(normalized, NormalizedOffset(piece.text, normalized));
  }
  return std::upper_bound(begins.begin(), begins.end(), normalized) - begins.begin() - 1;
}

absl::StatusOr<size_t> Tokenizer::NormalizedOffset(std::string_view text, size_t offset) const {
  if (parts_.normalizer.is_identity()) return offset;
  // A position inside of a character belongs to the character.
  while (offset > 0 && offset < text.size() && (static_cast<uint8_t>(text[offset]) & 0xc0) == 0x80)
    --offset;
  TUNESMITH_ASSIGN_OR_RETURN(const std::string whole, parts_.normalizer.Apply(text));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string before,
                             parts_.normalizer.Apply(text.substr(0, offset)));
  const auto ends = std::mismatch(whole.begin(), whole.end(), before.begin(), before.end());
  return static_cast<size_t>(ends.first - whole.begin());
}

absl::Status Tokenizer::EncodeText(std::string_view text, bool begins_text,
                                   std::vector<int32_t>* ids, std::vector<size_t>* begins) const {
  if (parts_.normalizer.is_identity()) return EncodeNormalized(text, begins_text, ids, begins);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string normalized, parts_.normalizer.Apply(text));
  return EncodeNormalized(normalized, begins_text, ids, begins);
}

absl::Status Tokenizer::EncodeNormalized(std::string_view text, bool begins_text,
                                         std::vector<int32_t>* ids,
                                         std::vector<size_t>* begins) const {
  for (const AddedTokens::Piece& piece : parts_.normalized_tokens.Split(text)) {
    const auto offset = static_cast<size_t>(piece.text.data() - text.data());
    if (piece.id < 0) {
      TUNESMITH_RETURN_IF_ERROR(
          EncodeWords(piece.text, offset, begins_text && offset == 0, ids, begins));
      continue;
    }
    ids->push_back(piece.id);
    if (begins != nullptr) begins->push_back(offset);
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeWords(std::string_view text, size_t offset, bool begins_text,
                                    std::vector<int32_t>* ids, std::vector<size_t>* begins) const {
  TUNESMITH_ASSIGN_OR_RETURN(const Words words,
                             parts_.pre_tokenizer.Split(text, begins_text, begins != nullptr));
  for (const Words::Range& range : words.ranges) {
    const size_t first = ids->size();
    parts_.bpe.Encode(words.Word(range), ids);
    size_t at = range.begin;
    for (size_t i = first; begins != nullptr && i < ids->size(); ++i) {
      begins->push_back(offset + words.sources[std::min(at, range.end - 1)]);
      if (at < range.end) at += parts_.bpe.SizeOf((*ids)[i], words.Word({at, range.end}));
    }
  }
  return absl::OkStatus();
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids) const {
  std::vector<std::string> tokens;
  for (const int32_t id : ids) {
    if (id >= 0 && id < vocab_size() && !parts_.texts[static_cast<size_t>(id)].empty())
      tokens.push_back(parts_.texts[static_cast<size_t>(id)]);
  }
  return parts_.decoder.Decode(std::move(tokens));
}

}  // namespace tunesmith::trainer
