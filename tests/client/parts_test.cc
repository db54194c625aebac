#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/exit_codes.h"
#include "client/question_flags.h"
#include "client/report_page.h"
#include "client/show.h"
#include "client/table.h"
#include "client/watch_view.h"

namespace tunesmith::client {
namespace {

using ::testing::HasSubstr;

TEST(ParseBytesTest, KnowsBinaryAndDecimalUnits) {
  EXPECT_EQ(*ParseBytes("20GiB"), int64_t{20} << 30);
  EXPECT_EQ(*ParseBytes("20G"), int64_t{20} << 30);
  EXPECT_EQ(*ParseBytes("20 GB"), 20'000'000'000);
  EXPECT_EQ(*ParseBytes("1.5t"), int64_t{3} << 39);
  EXPECT_EQ(*ParseBytes("512"), 512);
  EXPECT_EQ(*ParseBytes("512B"), 512);
}

TEST(ParseBytesTest, RefusesTheRest) {
  for (const char* text : {"", "GiB", "-1G", "0", "12x", "1.2.3G", "nan", "9999999999T"})
    EXPECT_FALSE(ParseBytes(text).ok()) << text;
}

TEST(QuestionFlagsTest, CarryTheOptimizer) {
  QuestionFlags flags{.model = "SmolLM2-135M", .context = 128};
  const auto plain = QuestionFromFlags(flags);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->question.optimizer(), v1::OPTIMIZER_ADAMW);
  EXPECT_EQ(plain->question.optimizer_state(), v1::OPTIMIZER_STATE_FP32);
  EXPECT_EQ(plain->question.accumulation_dtype(), v1::ACCUMULATION_DTYPE_FP32);
  flags.optimizer = "sgd";
  flags.optimizer_state = "bf16";
  flags.accumulation = "bf16";
  const auto asked = QuestionFromFlags(flags);
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->question.optimizer(), v1::OPTIMIZER_SGD);
  EXPECT_EQ(asked->question.optimizer_state(), v1::OPTIMIZER_STATE_BF16);
  EXPECT_EQ(asked->question.accumulation_dtype(), v1::ACCUMULATION_DTYPE_BF16);
}

TEST(TableTest, AlignsColumnsByCharacters) {
  Table table({"a", "number"}, {1});
  table.AddRow({"h\xC3\xA9", "7"});
  EXPECT_EQ(table.ToString(), "a   number\nh\xC3\xA9       7\n");
}

TEST(ProgressBarTest, ShowsLossRateAndTimeLeft) {
  v1::Progress progress;
  progress.set_step(50);
  progress.set_step_count(100);
  progress.set_loss(2.5);
  progress.set_tokens_per_second(1234);
  progress.set_seconds_left(90);
  const std::string bar = ProgressBar(progress);
  EXPECT_THAT(bar, HasSubstr("[============>           ] 50/100"));
  EXPECT_THAT(bar, HasSubstr("loss 2.5000"));
  EXPECT_THAT(bar, HasSubstr("1234 tokens/s"));
  EXPECT_THAT(bar, HasSubstr("1 min 30 s left"));
}

// As a job has it that went on after its last step, from a checkpoint of an earlier version.
TEST(ShowJobTest, WhatIsNotKnownIsNotANumber) {
  v1::Job job;
  v1::Finished& summary = *job.mutable_summary();
  summary.set_held_out_loss_after(1.5);
  summary.set_predicted_step_seconds(2);
  const std::string text = ShowJob(job);
  EXPECT_THAT(text, HasSubstr("1.5000 after\n"));
  EXPECT_THAT(text, HasSubstr(", not measured\n"));
  const std::string page = ReportPage({.inputs = {}, .mix = {}, .answer = {}, .job = job});
  EXPECT_THAT(page, HasSubstr("Predicted and measured"));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("-100.0 %")));
  summary.set_held_out_loss_before(2);
  summary.set_measured_step_seconds(3);
  EXPECT_THAT(ShowJob(job), HasSubstr("2.0000 before, 1.5000 after\n"));
  EXPECT_THAT(ShowJob(job), HasSubstr(", measured 3"));
}

TEST(ExitCodeTest, TellsCausesApart) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("")), 1);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitCodeOf(absl::UnauthenticatedError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::PermissionDeniedError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 6);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")), 6);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), 7);
}

}  // namespace
}  // namespace tunesmith::client
