#include "trainer/model_io/tokenizer_gguf.h"

#include <algorithm>
#include <string>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "trainer/model_io/sentence_piece_merges.h"

namespace tunesmith::trainer {
namespace {

// Token types of the format (llama.cpp, include/llama.h: llama_token_type).
constexpr int64_t kControlToken = 3;
constexpr int64_t kUserDefinedToken = 4;

constexpr std::string_view kSpace = "\u2581";

// A GGUF file names its pre-tokenizer; the patterns are those of the model's own tokenizer.json.
struct NamedSplits {
  std::string_view name;
  std::vector<TextPattern> splits;
  bool normalizes_nfc = false;
  bool ignores_merges = false;
  bool adds_bos = false;  // where the file does not say
};

constexpr char kLlama3Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The names and what they stand for: llama.cpp, src/llama-vocab.cpp (llama_vocab::impl::load and llm_tokenizer_bpe).
const std::vector<NamedSplits>& KnownSplits() {
  static const auto* const rows = new std::vector<NamedSplits>{
      // meta-llama/Meta-Llama-3-8B, tokenizer.json: Split, then ByteLevel without a regex; ignore_merges; <|begin_of_text|> is put first.
      {.name = "llama-bpe", .splits = {{kLlama3Pattern}}, .ignores_merges = true, .adds_bos = true},
      // Qwen/Qwen2-0.5B, tokenizer.json: NFC; Split, then ByteLevel without a regex.
      {.name = "qwen2", .splits = {{kQwen2Pattern}}, .normalizes_nfc = true},
      // openai-community/gpt2, tokenizer.json: ByteLevel with its regex.
      {.name = "gpt-2", .splits = {{kGpt2Pattern}}},
      // HuggingFaceTB/SmolLM2-135M, tokenizer.json: Digits (individual), then ByteLevel with its regex.
      {.name = "smollm", .splits = {{R"(\p{N})"}, {kGpt2Pattern}}},
      // bigcode/starcoder2-3b, tokenizer.json: the same.
      {.name = "starcoder", .splits = {{R"(\p{N})"}, {kGpt2Pattern}}},
      // smallcloudai/Refact-1_6-base, tokenizer.json: the same.
      {.name = "refact", .splits = {{R"(\p{N})"}, {kGpt2Pattern}}},
  };
  return *rows;
}

absl::StatusOr<const NamedSplits*> FindSplits(const GgufHeader& header) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string name, header.String("tokenizer.ggml.pre"));
  std::string known;
  for (const NamedSplits& row : KnownSplits()) {
    if (row.name == name) return &row;
    known = StrCat(known, known.empty() ? "" : ", ", row.name);
  }
  return absl::UnimplementedError(StrCat(header.what, ": tokenizer.ggml.pre \"", name,
                                         "\" is not known; known: ", known,
                                         "; use the model's Hugging Face directory instead"));
}

absl::Status ReadTokens(const GgufHeader& header, TokenizerSpec* spec) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto* tokens,
                             header.Find<std::vector<std::string>>("tokenizer.ggml.tokens"));
  TUNESMITH_ASSIGN_OR_RETURN(const auto* types,
                             header.Find<std::vector<int64_t>>("tokenizer.ggml.token_type"));
  if (types->size() != tokens->size()) {
    return absl::InvalidArgumentError(StrCat(header.what, ": tokenizer.ggml.tokens(",
                                             tokens->size(), ") != tokenizer.ggml.token_type(",
                                             types->size(), ")"));
  }
  spec->tokens = *tokens;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (FirstInvalidUtf8((*tokens)[i]) >= 0) {
      return absl::InvalidArgumentError(StrCat(header.what, ": token ", id, " is not UTF-8"));
    }
    const int64_t type = (*types)[i];
    if ((type != kControlToken && type != kUserDefinedToken) || (*tokens)[i].empty()) continue;
    spec->added_tokens.push_back(
        {.id = id, .content = (*tokens)[i], .special = type == kControlToken});
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufHeader& header, TokenizerSpec* spec) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto* merges,
                             header.Find<std::vector<std::string>>("tokenizer.ggml.merges"));
  for (const std::string& merge : *merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      return absl::InvalidArgumentError(
          StrCat(header.what, ": the merge \"", merge, "\" is not a pair of tokens"));
    }
    spec->merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<int32_t>> OptionalId(const GgufHeader& header, std::string_view key,
                                                  size_t token_count) {
  if (!header.Has(key)) return std::nullopt;
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, header.Integer(key));
  if (id >= 0 && id < static_cast<int64_t>(token_count)) return static_cast<int32_t>(id);
  return absl::InvalidArgumentError(
      StrCat(header.what, ": ", key, " ", id, " is not one of ", token_count, " tokens"));
}

absl::StatusOr<bool> Flag(const GgufHeader& header, std::string_view key, bool fallback) {
  if (!header.Has(key)) return fallback;
  TUNESMITH_ASSIGN_OR_RETURN(const bool* value, header.Find<bool>(key));
  return *value;
}

absl::Status ReadSpecials(const GgufHeader& header, bool adds_bos_by_default, TokenizerSpec* spec) {
  TUNESMITH_ASSIGN_OR_RETURN(
      spec->bos_id, OptionalId(header, "tokenizer.ggml.bos_token_id", spec->tokens.size()));
  TUNESMITH_ASSIGN_OR_RETURN(
      spec->eos_id, OptionalId(header, "tokenizer.ggml.eos_token_id", spec->tokens.size()));
  TUNESMITH_ASSIGN_OR_RETURN(const bool adds_bos,
                             Flag(header, "tokenizer.ggml.add_bos_token", adds_bos_by_default));
  TUNESMITH_ASSIGN_OR_RETURN(const bool adds_eos,
                             Flag(header, "tokenizer.ggml.add_eos_token", false));
  if (adds_bos && spec->bos_id.has_value()) spec->prefix_ids = {*spec->bos_id};
  if (adds_eos && spec->eos_id.has_value()) spec->suffix_ids = {*spec->eos_id};
  return absl::OkStatus();
}

// Byte-level BPE: Llama 3, Qwen, GPT-2 and their like.
absl::Status ReadByteLevel(const GgufHeader& header, TokenizerSpec* spec) {
  TUNESMITH_ASSIGN_OR_RETURN(const NamedSplits* splits, FindSplits(header));
  for (const TextPattern& pattern : splits->splits)
    spec->pre_tokenizer.emplace_back(SplitStep{pattern});
  spec->pre_tokenizer.emplace_back(ByteLevelStep{});
  if (splits->normalizes_nfc) spec->normalizer = {UnicodeForm::kNfc};
  spec->decoder = {ByteLevelDecoder{}};
  spec->ignores_merges = splits->ignores_merges;
  TUNESMITH_RETURN_IF_ERROR(ReadTokens(header, spec));
  TUNESMITH_RETURN_IF_ERROR(ReadMerges(header, spec));
  return ReadSpecials(header, splits->adds_bos, spec);
}

// SentencePiece BPE: Llama 2, Mistral, Gemma and their like. Scores tell the order of merges; spaces are written as U+2581, one is put before a text.
absl::Status ReadSentencePiece(const GgufHeader& header, TokenizerSpec* spec) {
  TUNESMITH_RETURN_IF_ERROR(ReadTokens(header, spec));
  TUNESMITH_ASSIGN_OR_RETURN(const auto* scores,
                             header.Find<std::vector<double>>("tokenizer.ggml.scores"));
  if (scores->size() != spec->tokens.size()) {
    return absl::InvalidArgumentError(StrCat(header.what, ": tokenizer.ggml.tokens(",
                                             spec->tokens.size(), ") != tokenizer.ggml.scores(",
                                             scores->size(), ")"));
  }
  spec->merges = MergesFromScores(spec->tokens, *scores);
  TUNESMITH_ASSIGN_OR_RETURN(const bool adds_space,
                             Flag(header, "tokenizer.ggml.add_space_prefix", true));
  if (adds_space) spec->normalizer.emplace_back(PrependStep{std::string(kSpace)});
  spec->normalizer.emplace_back(ReplaceStep{{" ", true}, std::string(kSpace)});
  spec->decoder = {ReplaceStep{{std::string(kSpace), true}, " "}, ByteFallbackDecoder{},
                   FuseDecoder{}};
  if (adds_space) spec->decoder.emplace_back(StripDecoder{" ", 1, 0});
  spec->falls_back_to_bytes = spec->fuses_unknown = true;
  TUNESMITH_ASSIGN_OR_RETURN(
      spec->unknown_id, OptionalId(header, "tokenizer.ggml.unknown_token_id", spec->tokens.size()));
  return ReadSpecials(header, true, spec);
}

}  // namespace

absl::StatusOr<TokenizerSpec> TokenizerSpecFromGguf(const GgufHeader& header) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string model, header.String("tokenizer.ggml.model"));
  TokenizerSpec spec;
  spec.what = header.what;
  if (model == "gpt2") {
    TUNESMITH_RETURN_IF_ERROR(ReadByteLevel(header, &spec));
  } else if (model == "llama") {
    TUNESMITH_RETURN_IF_ERROR(ReadSentencePiece(header, &spec));
  } else {
    return absl::UnimplementedError(
        StrCat(header.what, ": tokenizer.ggml.model \"", model,
               "\" is not known here; byte-level BPE (\"gpt2\") and SentencePiece BPE (\"llama\") "
               "are; use the model's Hugging Face directory instead"));
  }
  return spec;
}

}  // namespace tunesmith::trainer
