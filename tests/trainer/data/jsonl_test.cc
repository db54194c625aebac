#include "trainer/data/jsonl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/data/documents.h"

namespace tunesmith::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(JsonlTest, RowsOfText) {
  const auto file = ParseJsonl("{\"text\": \"a\"}\r\n\n  \n{\"text\": \"b\", \"id\": 3}", "f", {});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->kind, RowKind::kText);
  ASSERT_EQ(file->rows.size(), 2u);
  EXPECT_EQ(file->rows[1].completion, "b");
  EXPECT_EQ(file->rows[1].line, 4);
}

TEST(JsonlTest, RowsOfPromptAndCompletion) {
  const auto file = ParseJsonl("{\"prompt\": \"\", \"completion\": \"y\"}\n", "f", {});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->kind, RowKind::kPromptCompletion);
  EXPECT_EQ(file->rows[0].completion, "y");
}

TEST(JsonlTest, BadLinesAreNamedOrCounted) {
  const struct {
    const char* line;
    const char* message;
  } cases[] = {
      {"{\"text\": ", "f.jsonl, line 2: not valid JSON"},
      {"[1]", "line 2: expected an object"},
      {"{\"other\": \"x\"}", "found neither"},
      {"{\"text\": \"x\", \"prompt\": \"y\"}", "found both"},
      {"{\"text\": 3}", "\"text\" must be a string, found 3"},
      {"{\"text\": \"\"}", "\"text\" is empty"},
      {"{\"prompt\": \"x\"}", "\"completion\" is missing"},
      {"{\"completion\": \"x\"}", "\"prompt\" is missing"},
      {"{\"text\": \"\xff\"}", "not UTF-8 at byte 10"},
  };
  for (const auto& c : cases) {
    const std::string text = std::string("{\"text\": \"a\"}\n") + c.line + "\n";
    EXPECT_THAT(Message(ParseJsonl(text, "f.jsonl", {}).status()), HasSubstr(c.message));
    const auto skipped = ParseJsonl(text, "f.jsonl", {.skips_bad_rows = true});
    ASSERT_TRUE(skipped.ok()) << skipped.status();
    EXPECT_EQ(skipped->skipped_row_count, 1);
    EXPECT_EQ(skipped->rows.size(), 1u);
  }
}

TEST(JsonlTest, MixedKindsAndEmptyFilesAreRefused) {
  const std::string mixed = "{\"text\": \"a\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n";
  EXPECT_THAT(Message(ParseJsonl(mixed, "f", {.skips_bad_rows = true}).status()),
              HasSubstr("line 2: a row of prompt and completion"));
  EXPECT_THAT(Message(ParseJsonl("", "f", {}).status()), HasSubstr("f: the data set is empty"));
  EXPECT_THAT(Message(ParseJsonl("x\ny\n", "f", {.skips_bad_rows = true}).status()),
              HasSubstr("2 lines, 2 of which do not parse"));
  EXPECT_EQ(ReadJsonl("/nowhere/f.jsonl", {}).status().code(), absl::StatusCode::kNotFound);
}

Tokenizer LetterTokenizer() {
  TokenizerSpec spec;
  spec.what = "letters";
  spec.tokens = {"a", "b", "c", "ab", "<s>", "</s>"};
  spec.merges = {{"a", "b"}};
  spec.prefix_ids = {4};
  spec.eos_id = 5;
  return *Tokenizer::Create(spec);
}

TEST(DocumentsTest, OnlyTheCompletionAndTheEndAreLearned) {
  const auto file = ParseJsonl("{\"prompt\": \"ca\", \"completion\": \"ba\"}\n", "f", {});
  const auto documents = TokenizeRows(*file, LetterTokenizer());
  ASSERT_TRUE(documents.ok()) << documents.status();
  EXPECT_THAT((*documents)[0].tokens, ElementsAre(4, 2, 0, 1, 0, 5));  // no merge over the boundary
  EXPECT_THAT((*documents)[0].loss_mask, ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_EQ(TokenCount(*documents), 6);
}

TEST(DocumentsTest, TextIsLearnedWhole) {
  const auto documents =
      TokenizeRows(*ParseJsonl("{\"text\": \"abc\"}\n", "f", {}), LetterTokenizer());
  EXPECT_THAT((*documents)[0].tokens, ElementsAre(4, 3, 2, 5));
  EXPECT_THAT((*documents)[0].loss_mask, ElementsAre(0, 1, 1, 1));
}

}  // namespace
}  // namespace tunesmith::trainer
