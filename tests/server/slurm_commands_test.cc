#include "server/launch/slurm/slurm_commands.h"

#include <gtest/gtest.h>

#include <cstdlib>

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

// Accounting goes on to say that a job runs that slurmctld has forgotten.
TEST_F(SlurmQueueTest, ARecordThatHasNotEndedIsNoEnd) {
  commands_.Say("scontrol", "echo 'JobCompType = jobcomp/none'");
  for (const char* state : {"RUNNING", "PENDING", "SUSPENDED"}) {
    commands_.Say("sacct", std::string("echo '17|") + state + "|0:0|n0|tunesmith-uid-1'");
    const auto found = queue_.FindEnded(17);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_FALSE(found->has_value()) << state;
  }
  commands_.Say("sacct", "echo '17|FAILED|3:0|n0|tunesmith-uid-1'");
  EXPECT_EQ((*queue_.FindEnded(17))->exit_code, 3);
}

TEST_F(SlurmQueueTest, VariablesOfTheServerChangeNoCommand) {
  for (const char* name : {"SQUEUE_USERS", "SLURM_CLUSTERS"}) {
    commands_.Say("squeue", std::string("test -z \"$") + name + "\" && " + kEmptyQueue);
    setenv(name, "x", 1);
    const auto found = SlurmQueue(kInterval, kTimeout).Find(1, absl::ZeroDuration());
    unsetenv(name);
    EXPECT_TRUE(found.ok()) << name << ": " << found.status();
  }
}

TEST(SlurmStatusTest, WhatMayPassIsUnavailable) {
  for (const char* errors :
       {"sbatch: error: Unable to contact slurm controller (connect failure)",
        "squeue: fatal: Could not establish a configuration source",
        "sinfo: error: fetch_config: DNS SRV lookup failed\nsinfo: error: failed to fetch config",
        "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host",
        "squeue: error: get_addr_info: getaddrinfo() failed: Name or service not known"}) {
    EXPECT_TRUE(absl::IsUnavailable(StatusOf("x", {.status = 1, .output = {}, .errors = errors})))
        << errors;
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(StatusOf(
      "x", {.status = 1, .output = {}, .errors = "sbatch: error: invalid partition specified"})));
}

}  // namespace
}  // namespace tunesmith::server
