#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "client/dataset_survey.h"
#include "client/question_flags.h"

namespace tunesmith::client {
namespace {

using ::testing::HasSubstr;

class DatasetTest : public ::testing::Test {
 protected:
  DatasetTest() {
    path_ = testing::TempDir() + "/tunesmith_dataset_" + std::to_string(getpid()) + ".jsonl";
  }
  ~DatasetTest() override { std::filesystem::remove(path_); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }

  AskedQuestion Ask(QuestionFlags flags) {
    flags.model = "SmolLM2-135M";
    flags.context = 256;
    flags.dataset = path_;
    auto asked = QuestionFromFlags(flags);
    EXPECT_TRUE(asked.ok()) << asked.status();
    return *std::move(asked);
  }

  std::string path_;
};

std::string TextRow(size_t bytes) { return "{\"text\": \"" + std::string(bytes, 'x') + "\"}\n"; }

std::string PairRow(size_t prompt_bytes, size_t completion_bytes) {
  return "{\"prompt\": \"" + std::string(prompt_bytes, 'x') + "\", \"completion\": \"" +
         std::string(completion_bytes, 'y') + "\"}\n";
}

std::string ChatRow(size_t question_bytes, size_t answer_bytes) {
  return R"({"messages": [{"role": "user", "content": ")" + std::string(question_bytes, 'x') +
         R"("}, {"role": "assistant", "content": ")" + std::string(answer_bytes, 'y') + "\"}]}\n";
}

int64_t DocumentsOf(const planner::LengthHistogram& histogram) {
  int64_t count = 0;
  for (const planner::LengthBin& bin : histogram) count += bin.document_count;
  return count;
}

TEST_F(DatasetTest, CountsTokensOfConversations) {
  Write(
      ChatRow(80, 40) +
      R"({"conversations": [{"from": "human", "value": "abcd"}, {"from": "gpt", "value": "abcd"}]})" +
      "\n" + R"({"instruction": "abcd", "input": "efgh", "output": "ijkl"})" + "\n");
  const auto survey = SurveyDataset(path_);
  ASSERT_TRUE(survey.ok()) << survey.status();
  EXPECT_EQ(survey->document_count, 3);
  EXPECT_EQ(survey->token_count, (21 + 11 + 2 * 5) + (2 + 2 + 2 * 5) + (2 + 2));
  EXPECT_EQ(survey->predicted_token_count, 11 + 2 + 2);
}

TEST_F(DatasetTest, CountsTokensOfTextsAndCompletions) {
  Write(TextRow(400) + "\n" + TextRow(4) + "not JSON\n{\"other\": 1}\n" + PairRow(80, 40) +
        TextRow(9).substr(0, 20));  // the last line has no end
  const auto survey = SurveyDataset(path_);
  ASSERT_TRUE(survey.ok()) << survey.status();
  EXPECT_EQ(survey->document_count, 3);
  EXPECT_EQ(survey->token_count, 101 + 2 + 31);
  EXPECT_EQ(survey->predicted_token_count, 101 + 2 + 11);
  EXPECT_EQ(survey->longest_predicted, 101);
  EXPECT_EQ(survey->read_share, 1.0);
  EXPECT_EQ(DocumentsOf(survey->histogram), 3);
  int64_t below = 0;
  for (const planner::LengthBin& bin : survey->histogram) {
    EXPECT_GT(bin.upper_edge, below);
    const auto holds = [&](int64_t tokens) { return below < tokens && tokens <= bin.upper_edge; };
    EXPECT_EQ(bin.document_count, holds(2) + holds(31) + holds(101));
    EXPECT_EQ(bin.predicted_token_count, 2 * holds(2) + 11 * holds(31) + 101 * holds(101));
    EXPECT_LE(10 * bin.upper_edge, 11 * below + 20);
    below = bin.upper_edge;
  }
}

TEST_F(DatasetTest, SpreadPiecesOfALongFileStandForIt) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += i % 7 < 3 ? TextRow(40) : TextRow(400);
  Write(text);
  const auto whole = SurveyDataset(path_);
  const auto pieces = SurveyDataset(path_, {.most_bytes = 500'000, .piece_count = 50});
  ASSERT_TRUE(pieces.ok()) << pieces.status();
  EXPECT_LT(pieces->read_share, 0.12);
  EXPECT_NEAR(static_cast<double>(pieces->document_count), 20000, 1000);
  EXPECT_NEAR(static_cast<double>(pieces->token_count), static_cast<double>(whole->token_count),
              0.05 * static_cast<double>(whole->token_count));
  EXPECT_NEAR(static_cast<double>(DocumentsOf(pieces->histogram)), 20000, 1000);
}

TEST_F(DatasetTest, NoFileIsNotFoundAndNoRowIsNoHistogram) {
  EXPECT_EQ(SurveyDataset(path_).status().code(), absl::StatusCode::kNotFound);
  for (const char* text : {"", "\n\n", "xxxx", "{\"text\": 3}\n", "[1]\n{\"prompt\": \"a\"}\n"}) {
    Write(text);
    const auto survey = SurveyDataset(path_);
    ASSERT_TRUE(survey.ok()) << survey.status();
    EXPECT_TRUE(survey->histogram.empty()) << text;
  }
}

TEST_F(DatasetTest, AQuestionCarriesTheHistogramAndSaysHowItCameAbout) {
  Write(TextRow(400) + TextRow(400));
  const AskedQuestion asked = Ask({});
  EXPECT_EQ(asked.question.workload().dataset_token_count(), 202);
  ASSERT_EQ(asked.question.workload().length_histogram_size(), 2);
  EXPECT_EQ(asked.question.workload().length_histogram(0).document_count(), 0);
  EXPECT_EQ(asked.question.workload().length_histogram(1).document_count(), 2);
  EXPECT_EQ(asked.question.workload().loss_token_capacity(), 0);
  ASSERT_EQ(asked.notes.size(), 1u);
  EXPECT_THAT(asked.notes[0], HasSubstr("2 documents with 202 tokens, 100.0 % of them"));
  EXPECT_EQ(Ask({.dataset_tokens = 77}).question.workload().dataset_token_count(), 77);
}

TEST_F(DatasetTest, LossOnCompletionsTakesACapacityFromThem) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += PairRow(200, 40);  // 50 tokens and 11
  Write(text);
  // Four documents fit into a row of 256 with 44 tokens to learn; steps of 8.
  AskedQuestion asked = Ask({.loss = "completion"});
  EXPECT_EQ(asked.question.workload().loss_token_capacity(), 48);
  EXPECT_THAT(asked.notes.back(), HasSubstr("48 of the 256 tokens"));
  // A given capacity is taken as it is.
  asked = Ask({.loss = "completion", .loss_tokens_per_row = 9});
  EXPECT_EQ(asked.question.workload().loss_token_capacity(), 9);
}

TEST_F(DatasetTest, LongCompletionsAndTextsHaveNoCapacity) {
  Write(PairRow(10, 900) + TextRow(3));
  EXPECT_EQ(Ask({.loss = "completion"}).question.workload().loss_token_capacity(), 0);
  Write(TextRow(3000));
  const AskedQuestion asked = Ask({.loss = "completion"});
  EXPECT_EQ(asked.question.workload().loss_token_capacity(), 0);
  EXPECT_THAT(asked.notes.back(), HasSubstr("for every token"));
}

TEST(DatasetFlagsTest, LossOnCompletionsNeedsADataSet) {
  const auto asked =
      QuestionFromFlags({.model = "SmolLM2-135M", .context = 64, .loss = "completion"});
  EXPECT_EQ(asked.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(asked.status().message()), HasSubstr("--dataset"));
}

}  // namespace
}  // namespace tunesmith::client
