#include "server/launch/slurm/slurm_commands.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/server/stand_in_commands.h"

// How often Slurm's commands are asked, with stand-ins that say what they are told to and count.
namespace tunesmith::server {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(600);
// Longer than the interval, so that a while that counted from the command's start would be over at its end.
constexpr absl::Duration kTimeout = absl::Milliseconds(900);
constexpr char kHangs[] = "exec sleep 60";
constexpr char kEmptyQueue[] = "echo '{\"jobs\": []}'";

class SlurmQueueTest : public ::testing::Test {
 protected:
  StandInCommands commands_;
  SlurmQueue queue_{kInterval, kTimeout};
};

TEST_F(SlurmQueueTest, AQueueThatHangsIsLeftAloneFromItsEndOn) {
  commands_.Say("squeue", kHangs);
  EXPECT_TRUE(absl::IsUnavailable(queue_.Find(1, absl::ZeroDuration()).status()));
  EXPECT_TRUE(absl::IsUnavailable(queue_.Find(1, absl::ZeroDuration()).status()));
  EXPECT_EQ(commands_.CountOf("squeue"), 1);
  absl::SleepFor(kInterval);
  commands_.Say("squeue", kEmptyQueue);
  EXPECT_TRUE(queue_.Find(1, absl::ZeroDuration()).ok());
  EXPECT_EQ(commands_.CountOf("squeue"), 2);
}

TEST_F(SlurmQueueTest, AnAnswerIsAsOldAsItsQuestion) {
  commands_.Say("squeue", std::string("sleep 0.3; ") + kEmptyQueue);
  EXPECT_TRUE(queue_.Find(1, absl::Milliseconds(200)).ok());
  EXPECT_TRUE(queue_.Find(1, absl::Milliseconds(200)).ok());
  EXPECT_EQ(commands_.CountOf("squeue"), 2);
  EXPECT_TRUE(queue_.Find(1, absl::Seconds(60)).ok());
  EXPECT_EQ(commands_.CountOf("squeue"), 2);
}

TEST_F(SlurmQueueTest, AccountingThatHangsOrFailsIsLeftAlone) {
  for (const char* trouble : {kHangs, "echo 'sacct: error: no connection' >&2; exit 1"}) {
    SlurmQueue queue(kInterval, kTimeout);
    const int before = commands_.CountOf("sacct");
    commands_.Say("sacct", trouble);
    EXPECT_TRUE(absl::IsUnavailable(queue.FindEnded(1).status())) << trouble;
    EXPECT_TRUE(absl::IsUnavailable(queue.FindEnded(1).status())) << trouble;
    EXPECT_EQ(commands_.CountOf("sacct") - before, 1) << trouble;
  }
}

// Silence is no end: without an answer it is not known where ends are written down.
TEST_F(SlurmQueueTest, WithoutAccountingAControllerThatIsSilentHasNotForgotten) {
  commands_.Say("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1");
  commands_.Say("scontrol", "echo 'Unable to contact slurm controller' >&2; exit 1");
  EXPECT_TRUE(absl::IsUnavailable(queue_.FindEnded(1).status()));
  EXPECT_TRUE(absl::IsUnavailable(queue_.FindEnded(1).status()));
  EXPECT_EQ(commands_.CountOf("scontrol"), 1);
  absl::SleepFor(kInterval);
  commands_.Say("scontrol", "echo 'JobCompType = jobcomp/none'");
  const auto found = queue_.FindEnded(1);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->has_value());
}

}  // namespace
}  // namespace tunesmith::server
