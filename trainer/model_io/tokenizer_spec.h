#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// What a byte-level BPE tokenizer is made of, wherever it was read from. Plain data.
namespace tunesmith::trainer {

// What becomes of a match and of the text between matches, as in Hugging Face tokenizers' Split.
enum class SplitBehavior {
  kIsolated,            // each match a piece, the text between too
  kRemoved,             // the matches go away
  kContiguous,          // as isolated, but adjacent matches are one piece
  kMergedWithPrevious,  // a match ends the piece before it
  kMergedWithNext,      // a match begins the piece after it
};

struct SplitStep {
  std::string pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the text between matches counts as the matches
};

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;     // control token: never part of a text
  bool lstrip = false;      // takes the white space before it
  bool rstrip = false;      // takes the white space after it
  bool normalized = false;  // looked for after normalization instead of before
};

struct TokenizerSpec {
  std::string what;  // names the file in messages
  std::vector<std::string>
      tokens;  // by id, in the byte alphabet (byte_alphabet.h); added tokens by their content; "" where an id is unused
  std::vector<std::pair<std::string, std::string>> merges;  // first merged first
  std::vector<AddedToken> added_tokens;
  std::vector<SplitStep> splits;  // applied one after the other to each piece
  bool normalizes_nfc = false;
  bool ignores_merges = false;      // a word that is a token is that token, whatever the merges say
  std::vector<int32_t> prefix_ids;  // what add_special puts before and after a text
  std::vector<int32_t> suffix_ids;
  std::optional<int32_t> unknown_id;  // stands for bytes that have no token
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
};

// The pattern of GPT-2 (openai/gpt-2, encoder.py), which ByteLevel pre-tokenizers use unless told otherwise.
inline constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace tunesmith::trainer
