#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// Byte-pair encoding of words: of all adjacent pairs that have a merge the first of the merge list, leftmost, is merged until none is left.
// Move-only, thread-safe. Frequent words are remembered.
class Bpe {
 public:
  // INVALID_ARGUMENT for a token that two ids share, or a merge of or into something that is no token.
  static absl::StatusOr<Bpe> Create(const TokenizerSpec& spec);
  Bpe(Bpe&&) noexcept;
  Bpe& operator=(Bpe&&) noexcept;
  ~Bpe();

  // Appends the ids of `word`. As in Hugging Face tokenizers, a character that has no token becomes the tokens of its bytes, else the unknown token,
  // or is left out where there is neither (some byte-level vocabularies lack control characters). REQUIRES: valid UTF-8.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;

  // Bytes of a word that a token of its encoding stands for; `rest` is the word from the token on. REQUIRES: `rest` is not empty.
  size_t SizeOf(int32_t id, std::string_view rest) const;

 private:
  struct Merge {
    int32_t rank = 0;
    int32_t merged_id = 0;
  };
  struct Cache;
  class MergeLoop;
  class SymbolList;

  Bpe();
  void FindByteTokens();
  bool NoTokenCrossesASpace(const std::vector<std::pair<std::string, std::string>>& merges) const;
  absl::Status AddMerge(const std::pair<std::string, std::string>& merge, int32_t rank,
                        std::string_view what);
  absl::StatusOr<int32_t> IdOf(const std::string& token, std::string_view what) const;
  int32_t Find(std::string_view token) const;  // -1: none
  const Merge* FindMerge(int32_t left, int32_t right) const;
  std::vector<int32_t> MergeWord(std::string_view word) const;
  void EncodeCached(std::string_view word, std::vector<int32_t>* ids) const;
  // Behind the spaces and other characters that `word` begins with. REQUIRES: not empty.
  static size_t EndOfPart(std::string_view word);

  bool ignores_merges_ = false;
  bool fuses_unknown_ = false;
  // No merge joins something with a space behind it, so a text without a pre-tokenizer can be cut there: the ids are the same, and short parts are remembered.
  bool cuts_at_spaces_ = false;
  int32_t unknown_id_ = -1;  // -1: none
  absl::flat_hash_map<std::string, int32_t> id_of_token_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by left id << 32 | right id
  std::array<int32_t, 256> id_of_byte_ = NoBytes();
  std::vector<size_t> size_of_id_;  // in bytes; 0 for the unknown token
  std::unique_ptr<Cache> cache_;

  static std::array<int32_t, 256> NoBytes() {
    std::array<int32_t, 256> none;
    none.fill(-1);
    return none;
  }
};

}  // namespace tunesmith::trainer
