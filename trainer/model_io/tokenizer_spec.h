#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

// What a BPE tokenizer is made of, wherever it was read from: the parts of Hugging Face's tokenizer.json. Plain data.
namespace tunesmith::trainer {

// What is looked for: a regular expression as Oniguruma reads it, or the characters themselves.
struct TextPattern {
  std::string text;
  bool is_literal = false;
};

// ---- Normalizer: text to text, before anything but the added tokens that are found in raw text.
enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };
struct LowercaseStep {};
struct StripStep {  // takes white space at the ends away
  bool left = true;
  bool right = true;
};
struct PrependStep {  // puts `content` before a text that is not empty
  std::string content;
};
struct ReplaceStep {
  TextPattern pattern;
  std::string content;
};
using NormalizerStep =
    std::variant<UnicodeForm, LowercaseStep, StripStep, PrependStep, ReplaceStep>;

// ---- Pre-tokenizer: a text to the words that BPE merges within, each step within the pieces of the one before.
// What becomes of a match and of the text between matches, as in Hugging Face tokenizers' Split.
enum class SplitBehavior {
  kIsolated,            // each match a piece, the text between too
  kRemoved,             // the matches go away
  kContiguous,          // as isolated, but adjacent matches are one piece
  kMergedWithPrevious,  // a match ends the piece before it
  kMergedWithNext,      // a match begins the piece after it
};
struct SplitStep {
  TextPattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the text between matches counts as the matches
};
struct ByteLevelStep {          // writes bytes in the byte alphabet (byte_alphabet.h)
  bool prepends_space = false;  // to pieces that do not begin with one
  bool splits = false;          // by kGpt2Pattern
};
enum class PrependScheme { kNever, kFirst, kAlways };  // first: only where the text begins
struct MetaspaceStep {                                 // writes spaces as another character
  std::string replacement = "\u2581";
  PrependScheme prepends = PrependScheme::kAlways;
  bool splits = true;  // before each replacement
};
using PreTokenizerStep = std::variant<SplitStep, ByteLevelStep, MetaspaceStep>;

// ---- Decoder: the tokens' texts to texts, which are joined in the end.
struct ByteLevelDecoder {};
struct ByteFallbackDecoder {};  // "<0x0A>" to its byte
struct FuseDecoder {};          // joins all into one
struct StripDecoder {           // takes up to so many `content` from each text's ends
  std::string content;
  int64_t start_count = 0;
  int64_t stop_count = 0;
};
struct MetaspaceDecoder {
  std::string replacement = "\u2581";
  bool prepends = true;  // the first text's were put there by the pre-tokenizer
};
using DecoderStep = std::variant<ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, StripDecoder,
                                 ReplaceStep, MetaspaceDecoder>;

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // control token: never part of a text
  bool single_word = false;  // not inside of a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // looked for after normalization instead of before
};

struct TokenizerSpec {
  std::string what;                 // names the file in messages
  std::vector<std::string> tokens;  // BPE's own, by id; "" where an id is unused
  std::vector<std::pair<std::string, std::string>> merges;  // first merged first
  std::vector<AddedToken> added_tokens;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;  // none: tokens are joined by spaces
  bool ignores_merges = false;  // a word that is a token is that token, whatever the merges say
  bool falls_back_to_bytes = false;  // a character without a token becomes its bytes' <0xNN>
  bool fuses_unknown = false;        // adjacent unknown characters are one unknown token
  std::vector<int32_t> prefix_ids;   // what add_special puts before and after a text
  std::vector<int32_t> suffix_ids;
  std::optional<int32_t> unknown_id;  // stands for characters that have no token
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
};

// The pattern of GPT-2 (openai/gpt-2, encoder.py), which ByteLevel pre-tokenizers use unless told otherwise.
inline constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The highest id of all tokens, added ones included, + 1.
int64_t VocabSize(const TokenizerSpec& spec);

// The text of a token, an added one's content; empty where there is none.
std::string_view TokenText(const TokenizerSpec& spec, int64_t id);

// The id of a token, added ones included; nothing where there is none.
std::optional<int32_t> FindToken(const TokenizerSpec& spec, std::string_view text);

}  // namespace tunesmith::trainer
