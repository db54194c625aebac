#include "common/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"

namespace tunesmith {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<CommandResult> Shell(const std::string& script, CommandOptions options = {}) {
  options.arguments = {"sh", "-c", script};
  return RunCommand(options);
}

TEST(CommandTest, TakesOutputErrorsAndStatus) {
  const auto result = Shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->errors, "err\n");
  EXPECT_EQ(result->status, 3);
  EXPECT_EQ(Shell("kill -9 $$")->status, 128 + 9);
}

TEST(CommandTest, GivesInputAndDirectory) {
  EXPECT_EQ(Shell("cat; pwd", {.arguments = {}, .input = "text\n", .directory = "/"})->output,
            "text\n/\n");
  EXPECT_EQ(Shell("cat")->output, "") << "no input is its end";
}

TEST(CommandTest, TakesMoreThanAPipeHolds) {
  EXPECT_EQ(Shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")->output.size(),
            3000000u);
}

TEST(CommandTest, KeepsVariablesFromIt) {
  setenv("SBATCH_PARTITION", "x", 1);
  CommandOptions options{.arguments = {}};
  options.hidden_prefixes = {"SQUEUE_", "SBATCH_"};
  EXPECT_EQ(Shell("echo [$SBATCH_PARTITION]", options)->output, "[]\n");
  EXPECT_EQ(Shell("echo [$SBATCH_PARTITION]")->output, "[x]\n");
  unsetenv("SBATCH_PARTITION");
}

TEST(CommandTest, LeavesStderrWhereItIsWanted) {
  ::testing::internal::CaptureStderr();
  CommandOptions options{.arguments = {}};
  options.shares_errors = true;
  options.timeout = absl::InfiniteDuration();
  const auto result = Shell("echo out; echo err >&2; ps -o pgid= -p $$", options);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "err\n");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->errors, "");
  int64_t group = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result->output.substr(4), &group)) << result->output;
  EXPECT_EQ(group, getpgrp()) << "what is waited for without end hears Ctrl-C";
}

TEST(CommandTest, KillsWhatTakesTooLongWithItsChildren) {
  const absl::Time start = absl::Now();
  CommandOptions options{.arguments = {}};
  options.timeout = absl::Milliseconds(200);
  for (const char* script : {"sleep 20; true", "exec >&- 2>&-; sleep 20; true"}) {
    const auto result = Shell(script, options);
    EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("within 200ms"));
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST(CommandTest, NamesACommandThatIsNotThere) {
  const auto result = RunCommand({.arguments = {"no-such-command"}});
  EXPECT_TRUE(absl::IsNotFound(result.status()));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("no-such-command"));
}

}  // namespace
}  // namespace tunesmith
