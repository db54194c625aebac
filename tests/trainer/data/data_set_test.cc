#include "trainer/data/data_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/str_cat.h"
#include "tests/trainer/model_io/model_files.h"

namespace tunesmith::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

std::shared_ptr<const Tokenizer> LetterTokenizer(bool prepends = false) {
  TokenizerSpec spec;
  spec.what = "letters";
  spec.tokens = {"a", "b", "c", "ab", "<s>", "</s>", "\u2581", "\u2581a", "q", "u", ":"};
  spec.merges = {{"a", "b"}, {"\u2581", "a"}};
  spec.prefix_ids = {4};
  spec.eos_id = 5;
  spec.added_tokens = {{.id = 4, .content = "<s>", .special = true},
                       {.id = 5, .content = "</s>", .special = true}};
  if (prepends) spec.normalizer = {PrependStep{"\u2581"}, ReplaceStep{{" ", true}, "\u2581"}};
  return std::make_shared<const Tokenizer>(*Tokenizer::Create(spec));
}

RowTokenizer Letters(const std::string& chat_template = "") {
  RowTokenizer with{.tokenizer = LetterTokenizer(), .chat_template = std::nullopt};
  if (!chat_template.empty()) with.chat_template = *ChatTemplate::Create(chat_template, "t", {});
  return with;
}

constexpr char kTemplate[] =
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

class DataSetTest : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    std::ofstream(directory_.File("data.jsonl"), std::ios::binary) << text;
    return directory_.File("data.jsonl");
  }
  absl::StatusOr<DataSet> Open(const std::string& text, const RowTokenizer& with = Letters(),
                               DataSetOptions options = {}) {
    if (options.context == 0) options.context = 64;
    return OpenDataSet(Write(text), with, options);
  }

  TemporaryDirectory directory_;
};

TEST_F(DataSetTest, TextIsLearnedWholeAndBlankLinesAreSkipped) {
  const auto data = Open("{\"text\": \"abc\"}\r\n\n  \n{\"text\": \"b\", \"id\": 3}");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->format, RowFormat::kText);
  ASSERT_EQ(data->documents->document_count(), 2);
  const auto first = data->documents->Read(0);
  EXPECT_THAT(first->tokens, ElementsAre(4, 3, 2, 5));
  EXPECT_THAT(first->loss_mask, ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(data->documents->Read(1)->tokens, ElementsAre(4, 1, 5));
  EXPECT_EQ(data->documents->SizeOf(0).token_count, 4);
  EXPECT_EQ(data->documents->SizeOf(0).predicted_count, 3);
}

TEST_F(DataSetTest, OnlyTheCompletionAndTheEndAreLearned) {
  const auto data = Open("{\"prompt\": \"ca\", \"completion\": \"ba\"}\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->format, RowFormat::kPromptCompletion);
  const auto document = data->documents->Read(0);
  EXPECT_THAT(document->tokens, ElementsAre(4, 2, 0, 1, 0, 5));  // no merge over the boundary
  EXPECT_THAT(document->loss_mask, ElementsAre(0, 0, 0, 1, 1, 1));
}

// Tokenized by itself the completion would begin with another space.
// As in texts that a chat template has written.
TEST_F(DataSetTest, FirstAndLastTokensThatARowBringsAreNotDoubled) {
  const auto whole = Open("{\"text\": \"<s>abc</s>\"}");
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_THAT(whole->documents->Read(0)->tokens, ElementsAre(4, 3, 2, 5));
  const auto apart = Open(R"({"prompt": "<s>a", "completion": "b</s>"})");
  EXPECT_THAT(apart->documents->Read(0)->tokens, ElementsAre(4, 0, 1, 5));
  EXPECT_THAT(apart->documents->Read(0)->loss_mask, ElementsAre(0, 0, 1, 1));
}

TEST_F(DataSetTest, ATokenizerThatPrependsASpaceSeesOneText) {
  const RowTokenizer with{.tokenizer = LetterTokenizer(true), .chat_template = std::nullopt};
  const auto document =
      Open("{\"prompt\": \"c\", \"completion\": \" ab\"}\n", with)->documents->Read(0);
  EXPECT_THAT(document->tokens, ElementsAre(4, 6, 2, 6, 3, 5));
  EXPECT_THAT(document->loss_mask, ElementsAre(0, 0, 0, 1, 1, 1));
}

TEST_F(DataSetTest, ConversationsOfEveryFormAreTheSame) {
  for (
      const char* row :
      {R"({"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "ab"}]})",
       R"({"conversations": [{"from": "human", "value": "c"}, {"from": "gpt", "value": "ab"}]})",
       R"({"prompt": "c", "messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "ab"}]})",
       R"({"instruction": "c", "input": "", "output": "ab"})"}) {
    const auto data = Open(row, Letters(kTemplate));
    ASSERT_TRUE(data.ok()) << data.status();
    const auto document = data->documents->Read(0);
    EXPECT_THAT(document->tokens, ElementsAre(9, 10, 2, 0, 10, 3)) << row;
    EXPECT_THAT(document->loss_mask, ElementsAre(0, 0, 0, 0, 0, 1)) << row;
  }
}

TEST_F(DataSetTest, AlpacaWithoutATemplateIsAPromptOfItsOwn) {
  const auto row = ParseRow(R"({"instruction": "Add.", "input": "1 2", "output": "3"})",
                            RowFormat::kAlpaca, false, "f");
  EXPECT_EQ(row->prompt, "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n");
  EXPECT_EQ(row->completion, "3");
}

TEST_F(DataSetTest, ShareGptsSystemTextAndToolsReachTheTemplate) {
  const auto row = ParseRow(
      R"({"conversations": [{"from": "human", "value": "c"}], "system": "S", "tools": "[{\"b\": 1, \"a\": 2}]"})",
      RowFormat::kShareGpt, true, "f");
  ASSERT_TRUE(row.ok()) << row.status();
  const auto made = ChatTemplate::Create("{{ messages[0].content }} {{ tools | tojson }}", "t", {});
  EXPECT_EQ(*made->Render(row->chat, false), R"(S [{"b": 1, "a": 2}])");
}

TEST_F(DataSetTest, BadLinesAreNamedOrCounted) {
  const struct {
    const char* line;
    const char* message;
  } cases[] = {
      {"{\"text\": ", "data.jsonl, line 2: not valid JSON"},
      {"[1]", "line 2: expected an object"},
      {"{\"other\": \"x\"}", "\"text\" is missing"},
      {"{\"text\": 3}", "\"text\" must be a string, found 3"},
      {"{\"text\": \"\"}", "\"text\" is empty"},
      {"{\"text\": \"\xff\"}", "not UTF-8 at byte 10"},
  };
  for (const auto& c : cases) {
    const std::string text = std::string("{\"text\": \"a\"}\n") + c.line + "\n{\"text\": }\n";
    EXPECT_THAT(Message(Open(text).status()), HasSubstr(c.message));
    const auto skipped = Open(text, Letters(), {.skips_bad_rows = true});
    ASSERT_TRUE(skipped.ok()) << skipped.status();
    EXPECT_EQ(skipped->skipped_row_count, 2);
    EXPECT_EQ(skipped->documents->document_count(), 1);
  }
}

TEST_F(DataSetTest, BadConversationsAreNamed) {
  const struct {
    const char* line;
    const char* message;
  } cases[] = {
      {R"({"messages": []})", "\"messages\" must be a list of at least one message"},
      {R"({"messages": [3]})", "messages[0] is no object"},
      {R"({"messages": [{"content": "a"}]})", "messages[0]: \"role\" must be a string"},
      {R"({"messages": [{"role": "user"}]})", "messages[0]: \"content\" is missing"},
      {R"({"conversations": [{"from": "human"}]})", "\"from\" and \"value\" must be strings"},
      {R"({"instruction": "", "output": "x"})", "\"instruction\" is empty"},
  };
  for (const auto& c : cases)
    EXPECT_THAT(Message(Open(c.line, Letters(kTemplate)).status()), HasSubstr(c.message));
  const char* good = R"({"messages": [{"role": "user", "content": "c"}]})";
  EXPECT_THAT(Message(Open(good).status()),
              HasSubstr("line 1: the model has no chat template, which conversations need"));
  EXPECT_THAT(
      Message(Open(good, Letters("\n{{ raise_exception('odd') }}")).status()),
      HasSubstr("data.jsonl, line 1: t: line 2: the template refuses the conversation: odd"));
}

TEST_F(DataSetTest, TheFormatIsTheFirstRowsOrTheOneAsked) {
  EXPECT_THAT(Message(Open("{\"other\": 1}").status()),
              HasSubstr("line 1: expected an object with"));
  const std::string both = R"({"text": "a", "instruction": "b", "output": "c"})";
  EXPECT_THAT(Message(Open(both).status()),
              HasSubstr("several forms (text, alpaca); say which with --data-format"));
  const auto asked = Open(both, Letters(), {.format = RowFormat::kText});
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_THAT(asked->documents->Read(0)->tokens, ElementsAre(4, 0, 5));
  EXPECT_THAT(
      Message(Open("{\"text\": \"a\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n").status()),
      HasSubstr("line 2: the field \"text\" is missing"));
}

TEST_F(DataSetTest, EmptyFilesAreRefused) {
  EXPECT_THAT(Message(Open("").status()), HasSubstr("data.jsonl: the data set is empty: 0 lines"));
  EXPECT_THAT(Message(Open("x\ny\n", Letters(), {.skips_bad_rows = true}).status()),
              HasSubstr("2 lines, 2 of which cannot be used"));
  EXPECT_EQ(OpenDataSet("/nowhere/f.jsonl", Letters(), {.context = 8}).status().code(),
            absl::StatusCode::kNotFound);
}

std::string ManyRows(int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += StrCat("{\"text\": \"", std::string(static_cast<size_t>(1 + i % 7), 'a'), "\"}\n");
  return text;
}

TEST_F(DataSetTest, ThreadsDoNotChangeIt) {
  const uint64_t shorter = Open(ManyRows(999))->digest;
  const std::string text = ManyRows(1000);
  const auto one = Open(text, Letters(), {.thread_count = 1});
  const auto four = Open(text, Letters(), {.thread_count = 4});
  ASSERT_EQ(four->documents->document_count(), 1000);
  EXPECT_EQ(four->digest, one->digest);
  EXPECT_NE(shorter, one->digest);
  for (int64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(four->documents->Read(i)->tokens, one->documents->Read(i)->tokens);
    EXPECT_EQ(four->documents->SizeOf(i).token_count, 3 + i % 7);
  }
  EXPECT_THAT(Message(Open(text + "x\n" + text + "y\n", Letters(), {.thread_count = 4}).status()),
              HasSubstr("line 1001: not valid JSON"))
      << "the first bad line, whichever thread sees one first";
}

TEST_F(DataSetTest, AFileThatChangesIsNoticed) {
  const auto data = Open(ManyRows(5));
  ASSERT_TRUE(data.ok()) << data.status();
  Write("{\"text\": \"c\"}\n{\"text\": \"ca\"}\n");
  EXPECT_EQ(data->documents->Read(4).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(data->documents->Read(4).status()), HasSubstr("has become shorter"));
}

TEST_F(DataSetTest, AShareIsHeldOut) {
  const auto data = Open(ManyRows(1000));
  const auto split = HoldOut(data->documents, 0.1, 7);
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_EQ(split->training->document_count() + split->held_out->document_count(), 1000);
  EXPECT_NEAR(static_cast<double>(split->held_out->document_count()), 100, 30);
  const auto again = HoldOut(data->documents, 0.1, 7), other = HoldOut(data->documents, 0.1, 8);
  const auto tokens = [](const SplitDocuments& parts) {
    std::vector<int64_t> counts;
    for (int64_t i = 0; i < parts.held_out->document_count(); ++i)
      counts.push_back(static_cast<int64_t>(parts.held_out->Read(i)->tokens.size()));
    return counts;
  };
  EXPECT_EQ(tokens(*again), tokens(*split));
  EXPECT_NE(tokens(*other), tokens(*split));
  EXPECT_THAT(Message(HoldOut(Open(ManyRows(2))->documents, 0.001, 7).status()),
              HasSubstr("leaves 0 to evaluate and 2 to train on"));
}

}  // namespace
}  // namespace tunesmith::trainer
