#include "trainer/model_io/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "common/json.h"
#include "common/str_cat.h"
#include "tests/trainer/model_io/model_files.h"
#include "trainer/model_io/byte_alphabet.h"
#include "trainer/model_io/tokenizer_gguf.h"
#include "trainer/model_io/tokenizer_json.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kData[] = "tests/trainer/model_io/testdata/";  // tests run in the root of the tree

std::string Message(const absl::Status& status) { return std::string(status.message()); }

class GoldenTest : public testing::TestWithParam<const char*> {};

// tests/parity/make_tokenizer_golden.py wrote the expected ids with Hugging Face tokenizers.
TEST_P(GoldenTest, IdsAndTextAreHuggingFaces) {
  const auto tokenizer = OpenTokenizer(StrCat(kData, GetParam()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto rewritten = Tokenizer::Create(
      *TokenizerSpecFromJson(TokenizerJsonFromSpec(tokenizer->spec()), "rewritten"));
  ASSERT_TRUE(rewritten.ok()) << rewritten.status();
  const json cases = *ParseJson(*ReadFile(StrCat(kData, GetParam(), ".golden.json")), "golden");
  ASSERT_GE(cases.size(), 20u);
  for (const json& c : cases) {
    const auto text = c["text"].get<std::string>();
    const auto ids = c["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(*tokenizer->Encode(text, false), ids) << c;
    EXPECT_EQ(*tokenizer->Encode(text, true), c["ids_with_special"].get<std::vector<int32_t>>())
        << c;
    EXPECT_EQ(*rewritten->Encode(text, true), c["ids_with_special"].get<std::vector<int32_t>>())
        << c;
    EXPECT_EQ(tokenizer->Decode(ids), c["decoded"].get<std::string>()) << c;
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, GoldenTest,
                         testing::Values("smollm", "qwen2", "llama3", "falcon", "gemma", "llama2",
                                         "mixed_case", "neox", "prefix_space", "unknown_words"));

TEST(ByteAlphabetTest, RoundTrip) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string_view character = CharacterOfByte(static_cast<uint8_t>(byte));
    EXPECT_EQ(BytesOfToken(character), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(CharacterOfByte(' '), "\u0120");
  EXPECT_EQ(CharacterOfByte('\n'), "\u010a");
  EXPECT_FALSE(BytesOfToken("a b").has_value());
  EXPECT_FALSE(BytesOfToken("\u4f60").has_value());
}

// Letters a, b, c, ab, abc and a special token.
TokenizerSpec SmallSpec() {
  TokenizerSpec spec;
  spec.what = "small";
  spec.tokens = {"a", "b", "c", "ab", "abc", "<s>", "bc"};
  spec.merges = {{"b", "c"}, {"a", "b"}, {"ab", "c"}};
  spec.added_tokens = {{.id = 5, .content = "<s>", .special = true}};
  spec.pre_tokenizer = {ByteLevelStep{}};
  spec.decoder = {ByteLevelDecoder{}};
  return spec;
}

TEST(TokenizerTest, MergesGoByRankAndUnknownBytesAreLeftOut) {
  const auto tokenizer = Tokenizer::Create(SmallSpec());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*tokenizer->Encode("abcab", false), ElementsAre(0, 6, 3));  // bc before ab
  EXPECT_THAT(*tokenizer->Encode("azb<s>", false), ElementsAre(3, 5));
  EXPECT_EQ(tokenizer->Decode({0, 6, 5, 99, -1}), "abc<s>");
  EXPECT_EQ(tokenizer->vocab_size(), 7);
  EXPECT_FALSE(tokenizer->eos_id().has_value());
  TokenizerSpec whole = SmallSpec();
  whole.ignores_merges = true;
  EXPECT_THAT(*Tokenizer::Create(whole)->Encode("abc", false), ElementsAre(4));
  TokenizerSpec unknown = SmallSpec();
  unknown.unknown_id = 5;
  EXPECT_THAT(*Tokenizer::Create(unknown)->Encode("azb", false), ElementsAre(0, 5, 1));
}

// Of ASCII text every token's share of the decoded text is what it holds.
TEST(TokenizerTest, EncodeAtNamesTheTokenOfAByte) {
  for (const std::string name : {"smollm", "llama2", "gemma", "falcon", "qwen2"}) {
    const auto tokenizer = OpenTokenizer(StrCat(kData, name));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    // Behind an added token llama2 would put a space.
    const std::string text = StrCat("def f(x):\n  return 1234 ", name == "llama2" ? "" : "<s><bos>",
                                    "the library, objects ");
    std::vector<int64_t> positions(text.size()), token_of;
    std::iota(positions.begin(), positions.end(), 0);
    const auto ids = tokenizer->EncodeAt(text, positions, &token_of);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, *tokenizer->Encode(text, false));
    ASSERT_EQ(tokenizer->Decode(*ids), text) << name;
    const absl::Span<const int32_t> all(*ids);
    // At the beginning the space that llama2 puts there is meant too.
    for (size_t p = 1; p < text.size(); ++p) {
      const auto token = static_cast<size_t>(token_of[p]);
      ASSERT_LE(tokenizer->Decode(all.first(token)).size(), p) << name;
      ASSERT_GT(tokenizer->Decode(all.first(token + 1)).size(), p) << name;
    }
  }
}

TEST(TokenizerTest, EncodeAtFollowsWhatNormalizationMakesShorter) {
  const auto tokenizer = OpenTokenizer(StrCat(kData, "qwen2"));  // NFC
  const std::string text = "e\u0301e\u0301 x";                   // 3 + 3 + 2 bytes
  std::vector<int64_t> token_of;
  const auto ids = tokenizer->EncodeAt(text, {0, 1, 3, 6, 7}, &token_of);
  ASSERT_TRUE(ids.ok()) << ids.status();
  const auto alone = tokenizer->Encode("\u00e9", false)->size();
  EXPECT_EQ(*ids, *tokenizer->Encode("\u00e9\u00e9 x", false));
  EXPECT_EQ(token_of[2], static_cast<int64_t>(alone));
  EXPECT_EQ(token_of[4], static_cast<int64_t>(ids->size()) - 1);
}

// U+11A7 looks like a trailing consonant of Hangul and is none: it stays after a syllable.
TEST(TokenizerTest, NormalizationKeepsTheBaseOfTrailingConsonants) {
  const auto tokenizer = OpenTokenizer(StrCat(kData, "qwen2"));  // NFC
  const auto syllable = tokenizer->Encode("\uaf9c", false),
             both = tokenizer->Encode("\uaf9c\u11a7", false);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_GT(both->size(), syllable->size());
  EXPECT_EQ(tokenizer->Decode(*both), "\uaf9c\u11a7");
  EXPECT_EQ(*tokenizer->Encode("\u1101\u116d\u11a8", false),
            *tokenizer->Encode("\uaf9d", false));  // a real one is composed
}

// Where merges would be looked for pair by pair, each of these takes minutes.
TEST(TokenizerTest, LongTextsTakeTheirLength) {
  for (const char* name : {"llama2", "gemma", "smollm"}) {
    const auto tokenizer = OpenTokenizer(StrCat(kData, name));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (const char* part : {"a", "the ", "  ", "\u4e2d", "=-"}) {
      std::string text;
      while (text.size() < 200'000) text += part;
      const auto ids = tokenizer->Encode(text, false);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(tokenizer->Decode(*ids), text) << name << " " << part;
    }
  }
}

TEST(TokenizerTest, AddedTokensTakeUnicodesWhiteSpaceAndStandBesideWords) {
  TokenizerSpec spec = SmallSpec();
  spec.added_tokens[0].lstrip = spec.added_tokens[0].rstrip = true;
  spec.added_tokens.push_back({.id = 7, .content = "ab", .single_word = true});
  const auto tokenizer = Tokenizer::Create(spec);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*tokenizer->Encode("a\u00a0 <s>\u3000\nb", false), ElementsAre(0, 5, 1));
  EXPECT_THAT(*tokenizer->Encode("ab-ab", false), ElementsAre(7, 7));
  EXPECT_THAT(*tokenizer->Encode("abc", false), ElementsAre(0, 6)) << "bc goes before ab";
  EXPECT_THAT(*tokenizer->Encode("\u00e9ab", false), ElementsAre(3));
}

TEST(TokenizerTest, SplitBehaviors) {
  const struct {
    SplitBehavior behavior;
    bool invert;
    std::vector<std::string_view> pieces;
  } cases[] = {
      {SplitBehavior::kIsolated, false, {"x", "-", "-", "y", "-"}},
      {SplitBehavior::kRemoved, false, {"x", "y"}},
      {SplitBehavior::kRemoved, true, {"-", "-", "-"}},
      {SplitBehavior::kContiguous, false, {"x", "--", "y", "-"}},
      {SplitBehavior::kMergedWithPrevious, false, {"x-", "-", "y-"}},
      {SplitBehavior::kMergedWithNext, false, {"x", "-", "-y", "-"}},
  };
  for (const auto& c : cases) {
    const auto splitter = PreTokenizer::Create({SplitStep{{"-"}, c.behavior, c.invert}});
    const Words words = *splitter->Split("x--y-", true);
    std::vector<std::string_view> pieces;
    for (const Words::Range& range : words.ranges) pieces.push_back(words.Word(range));
    EXPECT_EQ(pieces, c.pieces) << static_cast<int>(c.behavior);
  }
}

TEST(TokenizerTest, BadInputIsNamed) {
  EXPECT_THAT(Message(Tokenizer::Create(SmallSpec())->Encode("a\xff", false).status()),
              HasSubstr("not UTF-8 at byte 1"));
  TokenizerSpec merge = SmallSpec();
  merge.merges.push_back({"c", "a"});
  EXPECT_THAT(Message(Tokenizer::Create(merge).status()),
              HasSubstr("\"ca\", which is not in the vocabulary"));
  TokenizerSpec twice = SmallSpec();
  twice.tokens.push_back("a");
  EXPECT_THAT(Message(Tokenizer::Create(twice).status()),
              HasSubstr("two ids have the token \"a\""));
  TokenizerSpec special = SmallSpec();
  special.eos_id = 77;
  EXPECT_THAT(Message(Tokenizer::Create(special).status()), HasSubstr("special token id 77"));
  TokenizerSpec pattern = SmallSpec();
  pattern.pre_tokenizer = {SplitStep{{"(unclosed"}}};
  EXPECT_EQ(Tokenizer::Create(pattern).status().code(), absl::StatusCode::kUnimplemented);
}

// tokenizer.json with one part replaced; the message must name what was found.
TEST(TokenizerJsonTest, UnsupportedAndMalformedPartsAreNamed) {
  const json good = *ParseJson(TokenizerJsonFromSpec(SmallSpec()), "good");
  ASSERT_TRUE(TokenizerSpecFromJson(good.dump(), "t").ok());
  const struct {
    const char* pointer;
    const char* value;
    const char* message;
  } cases[] = {
      {"/model/type", R"("Unigram")", "model Unigram is not known here; only BPE models are"},
      {"/model/type", R"("WordPiece")", "model WordPiece is not known here; only BPE models are"},
      {"/model/dropout", "0.5", "a BPE dropout of 0.5 is not known"},
      {"/model/end_of_word_suffix", R"("</w>")", "end_of_word_suffix </w> is not known"},
      {"/model/unk_token", R"("<unk>")", "unk_token \"<unk>\" is not in the vocabulary"},
      {"/model/vocab", "[]", "\"vocab\" must be an object"},
      {"/model/vocab", R"({"a": "0"})", "the id of token \"a\" is not an integer"},
      {"/model/vocab", R"({"a": 99999999999})", "token id 99999999999 is outside"},
      {"/model/vocab", R"({"a": 0, "b": 0})", "the id 0 belongs to"},
      {"/model/merges", R"(["ab"])", "merge 0 is not a pair"},
      {"/model/merges", "{}", "\"merges\" must be an array"},
      {"/model", "null", "\"model\" must be an object"},
      {"/normalizer", R"({"type": "Precompiled"})", "normalizer Precompiled is not known"},
      {"/normalizer", R"({"type": "Prepend"})", "\"prepend\" is missing"},
      {"/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})",
       "a \"pattern\" is empty"},
      {"/normalizer", R"({"type": "Sequence"})", "\"normalizers\" is missing"},
      {"/pre_tokenizer", R"({"type": "UnicodeScripts"})",
       "pre_tokenizer UnicodeScripts is not known"},
      {"/pre_tokenizer", R"({"type": "Metaspace", "prepend_scheme": "last"})",
       "prepend_scheme last is not known"},
      {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": ""})", "\"replacement\" is empty"},
      {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Any"})",
       "split behavior Any is not known"},
      {"/post_processor", R"({"type": "Whatever"})", "post_processor Whatever"},
      {"/post_processor", R"({"type": "RobertaProcessing", "cls": ["<s>"], "sep": ["<s>", 5]})",
       "\"cls\" of the post_processor"},
      {"/post_processor", R"({"type": "TemplateProcessing", "single": []})",
       "must hold one \"Sequence\""},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"Sequence": {}}, {"SpecialToken": {"id": "x"}}], "special_tokens": {}})",
       "\"x\" is missing"},
      {"/decoder", R"({"type": "WordPiece"})", "decoder WordPiece is not known"},
      {"/added_tokens/0/content", R"("")", "the content of token 5 is empty"},
      {"/added_tokens/0/id", "0", "the id 0 belongs to \"a\" and to \"<s>\""},
      {"/added_tokens", "3", "\"added_tokens\" must be an array"},
  };
  for (const auto& c : cases) {
    json changed = good;
    changed[json::json_pointer(c.pointer)] = *ParseJson(c.value, "value");
    const auto result = TokenizerSpecFromJson(changed.dump(), "t.json");
    ASSERT_FALSE(result.ok()) << c.pointer;
    EXPECT_THAT(Message(result.status()), HasSubstr(c.message));
    EXPECT_THAT(Message(result.status()), HasSubstr("t.json"));
  }
  EXPECT_FALSE(TokenizerSpecFromJson("[]", "t").ok());
}

GgufBuilder SmallGguf(const std::string& pre) {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", pre);
  builder.Strings("tokenizer.ggml.tokens", {"a", "b", "1", "ab", "11", "<s>"});
  builder.Integers("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 3});
  builder.Strings("tokenizer.ggml.merges", {"a b", "1 1"});
  builder.Unsigned32("tokenizer.ggml.bos_token_id", 5);
  return builder;
}

absl::StatusOr<TokenizerSpec> SpecOf(const GgufBuilder& builder) {
  const auto header = ParseGgufHeader(builder.Build(), "f.gguf");
  EXPECT_TRUE(header.ok()) << header.status();
  return TokenizerSpecFromGguf(*header);
}

TEST(TokenizerGgufTest, ThePreTokenizersNameChoosesThePattern) {
  const auto encode = [](const std::string& pre) {
    return *Tokenizer::Create(*SpecOf(SmallGguf(pre)))->Encode("ab<s>11", true);
  };
  EXPECT_THAT(encode("smollm"), ElementsAre(3, 5, 2, 2));  // digits one by one
  EXPECT_THAT(encode("gpt-2"), ElementsAre(3, 5, 4));
  EXPECT_THAT(encode("qwen2"), ElementsAre(3, 5, 2, 2));
  EXPECT_THAT(encode("llama-bpe"), ElementsAre(5, 3, 5, 4));  // and bos first
}

GgufBuilder SentencePieceGguf() {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "llama");
  builder.Strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "<0x0A>", "\u2581", "a", "b", "ab",
                                            "\u2581a", "\u2581ab", "bb"});
  builder.Integers("tokenizer.ggml.token_type", {2, 3, 6, 1, 1, 1, 1, 1, 1, 1});
  builder.Unsigned32("tokenizer.ggml.unknown_token_id", 0);
  builder.Unsigned32("tokenizer.ggml.bos_token_id", 1);
  return builder;
}

TEST(TokenizerGgufTest, ScoresTellTheOrderOfMerges) {
  GgufBuilder builder = SentencePieceGguf();
  builder.Floats("tokenizer.ggml.scores", {0, 0, 0, -9, -9, -9, -2, -3, -4, -1});
  const auto spec = SpecOf(builder);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::vector<std::pair<std::string, std::string>> merges = {
      {"b", "b"}, {"a", "b"}, {"\u2581", "a"}, {"\u2581a", "b"}, {"\u2581", "ab"}};
  EXPECT_EQ(spec->merges, merges);
  const auto tokenizer = Tokenizer::Create(*spec);
  EXPECT_THAT(*tokenizer->Encode("abb ab\nxy", true), ElementsAre(1, 7, 9, 8, 2, 0));
  EXPECT_EQ(tokenizer->Decode({7, 9, 8, 2}), "abb ab\n");
}

TEST(TokenizerGgufTest, BadMetadataIsNamed) {
  GgufBuilder scores = SentencePieceGguf();
  EXPECT_THAT(Message(SpecOf(scores).status()), HasSubstr("tokenizer.ggml.scores is missing"));
  scores.Floats("tokenizer.ggml.scores", {1});
  EXPECT_THAT(Message(SpecOf(scores).status()),
              HasSubstr("tokenizer.ggml.tokens(10) != tokenizer.ggml.scores(1)"));
  EXPECT_THAT(Message(SpecOf(GgufBuilder()).status()),
              HasSubstr("tokenizer.ggml.model is missing"));
  EXPECT_THAT(Message(SpecOf(SmallGguf("exotic")).status()),
              HasSubstr("tokenizer.ggml.pre \"exotic\" is not known"));
  GgufBuilder bert;
  bert.String("tokenizer.ggml.model", "bert");
  EXPECT_EQ(SpecOf(bert).status().code(), absl::StatusCode::kUnimplemented);
  GgufBuilder eos = SmallGguf("smollm");
  eos.Unsigned32("tokenizer.ggml.eos_token_id", 6);
  EXPECT_THAT(Message(SpecOf(eos).status()), HasSubstr("eos_token_id 6 is not one of 6 tokens"));
}

TEST(OpenTokenizerTest, BosAndEosComeFromTheConfigs) {
  TemporaryDirectory directory;
  const auto write = [&](const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(directory.File(name), text).ok());
  };
  EXPECT_THAT(Message(OpenTokenizer(directory.path()).status()), HasSubstr("tokenizer.json"));
  write("tokenizer.json", TokenizerJsonFromSpec(SmallSpec()));
  EXPECT_FALSE(OpenTokenizer(directory.path())->eos_id().has_value());
  write("config.json", R"({"bos_token_id": 1, "eos_token_id": [2, 3]})");
  EXPECT_EQ(OpenTokenizer(directory.path())->eos_id(), 2);
  write("tokenizer_config.json", R"({"eos_token": {"content": "<s>"}})");
  EXPECT_EQ(OpenTokenizer(directory.path())->eos_id(), 5);
  EXPECT_EQ(OpenTokenizer(directory.path())->bos_id(), 1);
  write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_THAT(Message(OpenTokenizer(directory.path()).status()),
              HasSubstr("\"</s>\", is not in the vocabulary"));
}

}  // namespace
}  // namespace tunesmith::trainer
