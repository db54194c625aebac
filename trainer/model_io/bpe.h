#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
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

  // Appends the ids of `word`, raw bytes. As in Hugging Face tokenizers, a byte that has no token becomes the unknown token, or is left
  // out where there is none (some vocabularies lack control characters).
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank = 0;
    int32_t merged_id = 0;
  };
  struct Cache;
  class MergeLoop;

  Bpe();
  absl::Status AddMerge(const std::pair<std::string, std::string>& merge, int32_t rank,
                        std::string_view what);
  absl::StatusOr<int32_t> IdOf(const std::string& token, std::string_view what) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;
  std::vector<int32_t> MergeBytes(std::string_view word) const;

  bool ignores_merges_ = false;
  absl::flat_hash_map<std::string, int32_t> id_of_token_;  // by token, in the byte alphabet
  absl::flat_hash_map<std::string, int32_t>
      id_of_word_;                               // by raw bytes; filled when ignores_merges_
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by left id << 32 | right id
  std::array<int32_t, 256> id_of_byte_ = {};     // -1: left out
  std::unique_ptr<Cache> cache_;
};

}  // namespace tunesmith::trainer
