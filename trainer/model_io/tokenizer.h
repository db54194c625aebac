#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "trainer/model_io/added_tokens.h"
#include "trainer/model_io/bpe.h"
#include "trainer/model_io/normalizer.h"
#include "trainer/model_io/pre_tokenizer.h"
#include "trainer/model_io/token_decoder.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// Text to token ids and back, id for id as Hugging Face tokenizers do it. Move-only, thread-safe.
class Tokenizer {
 public:
  // INVALID_ARGUMENT for a spec that contradicts itself, UNIMPLEMENTED for a pattern that is not understood.
  static absl::StatusOr<Tokenizer> Create(TokenizerSpec spec);

  // Added tokens in the text become their ids. `add_special` puts before and after what the tokenizer's template says (the begin-of-text token,
  // for the models that have one). INVALID_ARGUMENT for text that is not UTF-8, with the offset.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_special) const;

  // As Encode without special tokens. `token_of` gets, for every byte offset of `positions` (ascending), the index of the token that holds it; of the last
  // token before it where white space around an added token is in none; -1 where there is none before it.
  absl::StatusOr<std::vector<int32_t>> EncodeAt(std::string_view text,
                                                absl::Span<const int64_t> positions,
                                                std::vector<int64_t>* token_of) const;

  // Valid UTF-8: bytes that make no character become U+FFFD. Special tokens appear as their content, unknown ids not at all.
  std::string Decode(absl::Span<const int32_t> ids) const;

  std::optional<int32_t> bos_id() const { return spec_.bos_id; }
  std::optional<int32_t> eos_id() const { return spec_.eos_id; }
  // The highest id + 1.
  int64_t vocab_size() const { return static_cast<int64_t>(parts_.texts.size()); }
  const TokenizerSpec& spec() const { return spec_; }

 private:
  struct Parts {
    AddedTokens raw_tokens;  // found before normalization
    Normalizer normalizer;
    AddedTokens normalized_tokens;  // found after it
    PreTokenizer pre_tokenizer;
    Bpe bpe;
    TokenDecoder decoder;
    std::vector<std::string> texts;  // by id, as the decoder takes them
  };
  Tokenizer(TokenizerSpec spec, Parts parts);
  // `begins_text`: nothing of what is encoded lies before `text`. `begins`, where it is not null, gets the offset in the normalized text at which each
  // token begins.
  absl::Status EncodeText(std::string_view text, bool begins_text, std::vector<int32_t>* ids,
                          std::vector<size_t>* begins) const;
  absl::Status EncodeNormalized(std::string_view text, bool begins_text, std::vector<int32_t>* ids,
                                std::vector<size_t>* begins) const;
  absl::Status EncodeWords(std::string_view text, size_t offset, bool begins_text,
                           std::vector<int32_t>* ids, std::vector<size_t>* begins) const;
  // Appends a piece's ids; where in its normalized text each of them begins.
  absl::StatusOr<std::vector<size_t>> EncodePiece(const AddedTokens::Piece& piece, bool begins_text,
                                                  std::vector<int32_t>* ids) const;
  // Which of a piece's tokens, which begin at `begins`, holds a byte of it; -1: it lies before all.
  absl::StatusOr<int64_t> TokenAt(const AddedTokens::Piece& piece, int64_t offset,
                                  const std::vector<size_t>& begins) const;
  // Where in the normalized text a byte of a text goes.
  absl::StatusOr<size_t> NormalizedOffset(std::string_view text, size_t offset) const;

  TokenizerSpec spec_;
  Parts parts_;
};

// The tokenizer of a model: `path` is a Hugging Face directory (tokenizer.json; bos and eos from tokenizer_config.json, else config.json) or a
// .gguf file.
absl::StatusOr<Tokenizer> OpenTokenizer(const std::string& path);

}  // namespace tunesmith::trainer
