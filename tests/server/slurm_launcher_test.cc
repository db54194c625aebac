#include "server/launch/slurm/slurm_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/launch/sight.h"
#include "tests/server/stand_in_commands.h"

// What the launcher asks Slurm, and when, with stand-ins for its commands. (With Slurm itself: launcher_test, slurm_test.)
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPollInterval = absl::Milliseconds(500);

class SlurmLauncherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const v1::CreateJobRequest request = TestJob(scratch_, 5);
    *job_.mutable_plan() = request.plan();
    *job_.mutable_spec() = request.spec();
    job_.mutable_spec()->set_device("cpu");
    job_.mutable_spec()->set_thread_count(1);
    job_.set_uid("uid");
    job_.set_attempt(1);
    job_.set_run_directory(scratch_.path() + "/run");
    ASSERT_TRUE(PrepareRunDirectory(job_).ok());
    commands_.Say("squeue", "echo '{\"jobs\": []}'");
    commands_.Say("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1");
    commands_.Say("scontrol", "echo 'JobCompType = jobcomp/none'");
    commands_.Say("scancel", "true");
  }

  // The queue has this one job, of the number 17.
  void SayQueue(const std::string& name, const std::string& state, const std::string& reason) {
    commands_.Say("squeue", "echo '{\"jobs\": [{\"job_id\": 17, \"name\": \"" + name +
                                "\", \"job_state\": " + state + ", \"state_reason\": \"" + reason +
                                "\"}]}'");
  }

  ScratchDirectory scratch_;
  StandInCommands commands_;
  SlurmLauncher launcher_{{.shim_path = "/bin/shim",
                           .trainer_path = "/bin/trainer",
                           .defaults = {},
                           .poll_interval = kPollInterval}};
  v1::Job job_;
};

// The supervisor looks ten times a second, and asks whether the job was submitted before it submits it again.
TEST_F(SlurmLauncherTest, ARefusedSubmissionIsNotLookedForWhileItIsHeldOff) {
  commands_.Say("sbatch",
                "echo 'sbatch: error: Slurm temporarily unable to accept job' >&2; exit 1");
  EXPECT_TRUE(absl::IsUnavailable(launcher_.Start(job_).status()));
  for (int tick = 0; tick < 3; ++tick) {
    const auto found = launcher_.Find(job_);
    EXPECT_TRUE(absl::IsUnavailable(found.status()));
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("unable to accept"));
  }
  EXPECT_EQ(commands_.CountOf("squeue"), 0);
  absl::SleepFor(kPollInterval);
  EXPECT_EQ(*launcher_.Find(job_), "");
  EXPECT_EQ(commands_.CountOf("squeue"), 1);
  commands_.Say("sbatch", "echo 17");
  EXPECT_EQ(*launcher_.Start(job_), "17");
  EXPECT_EQ(commands_.CountOf("sbatch"), 2);
}

// Else a server that runs for months would remember every job.
TEST_F(SlurmLauncherTest, NothingOfAJobThatHasEndedIsRemembered) {
  ASSERT_TRUE(launcher_.Cancel(job_, "17").ok());
  ASSERT_TRUE(launcher_.Cancel(job_, "17").ok());
  EXPECT_EQ(commands_.CountOf("scancel"), 1) << "told once";
  const auto view = launcher_.Look(job_, "17");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->phase, AttemptView::Phase::kEnded) << "Slurm does not know it any more";
  ASSERT_TRUE(launcher_.Cancel(job_, "17").ok());
  EXPECT_EQ(commands_.CountOf("scancel"), 2);
}

// The run directory tells of the attempt before, and goes on to.
TEST_F(SlurmLauncherTest, AJobThatWaitsAfterAnAttemptIsLookedAtAsRarelyAsOthers) {
  SlurmLauncher launcher({.shim_path = "/bin/shim",
                          .trainer_path = "/bin/trainer",
                          .defaults = {},
                          .poll_interval = absl::Seconds(30)});
  v1::ShimHandle shim;
  shim.set_attempt(1);
  shim.set_cluster_job("17");
  v1::JobExit exit = ExitFor(v1::END_CAUSE_PREEMPTED, "time was nearly up");
  exit.set_attempt(1);
  using convert::InDirectory;
  const std::string& run = job_.run_directory();
  ASSERT_TRUE(convert::WriteJsonFile(InDirectory(run, convert::AttemptFile(1)), shim).ok());
  ASSERT_TRUE(convert::WriteJsonFile(InDirectory(run, convert::kShimFile), shim).ok());
  ASSERT_TRUE(convert::WriteJsonFile(InDirectory(run, convert::kExitFile), exit).ok());
  commands_.Say("squeue",
                "echo '{\"jobs\": [{\"job_id\": 17, \"name\": \"tunesmith-uid-1\", "
                "\"job_state\": \"PENDING\", \"state_reason\": \"Resources\"}]}'");
  for (int tick = 0; tick < 40; ++tick) {
    const auto view = launcher.Look(job_, "17");
    ASSERT_TRUE(view.ok()) << view.status();
    ASSERT_EQ(view->phase, AttemptView::Phase::kWaiting);
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_LE(commands_.CountOf("squeue"), 2);
}

// A number that Slurm has given again.
TEST_F(SlurmLauncherTest, AJobOfAnotherNameIsSomebodyElses) {
  SayQueue("other", "\"RUNNING\"", "None");
  ASSERT_TRUE(launcher_.Cancel(job_, "17").ok());
  EXPECT_EQ(commands_.CountOf("scancel"), 0);
  const auto view = launcher_.Look(job_, "17");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->phase, AttemptView::Phase::kEnded);
  EXPECT_EQ(view->exit.cause(), v1::END_CAUSE_PREEMPTED)
      << "ours had not started, and is forgotten";
}

TEST_F(SlurmLauncherTest, OnlyWhatSlurmCouldNotLaunchIsReleased) {
  SayQueue("tunesmith-uid-1", "[\"PENDING\", \"REQUEUE_HOLD\"]", "JobHeldUser");
  auto view = launcher_.Look(job_, "17");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->phase, AttemptView::Phase::kWaiting);
  EXPECT_EQ(commands_.LastOf("scontrol"), "") << "an operator's wish";
  SayQueue("tunesmith-uid-1", "[\"PENDING\"]", "launch_failed_requeued_held");
  absl::SleepFor(kPollInterval);
  view = launcher_.Look(job_, "17");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(commands_.LastOf("scontrol"), "release 17");
}

// A controller that hangs is waited for once, not once for every job of a queue.
TEST_F(SlurmLauncherTest, ASubmissionThatFailsSlowlyHoldsOthers) {
  commands_.Say("sbatch", "sleep 2.1; echo 'sbatch: error: Socket timed out' >&2; exit 1");
  EXPECT_TRUE(absl::IsUnavailable(launcher_.Start(job_).status()));
  v1::Job other = job_;
  other.set_uid("other");
  EXPECT_TRUE(absl::IsUnavailable(launcher_.Start(other).status()));
  EXPECT_EQ(commands_.CountOf("sbatch"), 1);
  absl::SleepFor(kPollInterval);
  commands_.Say("sbatch", "echo 18");
  EXPECT_EQ(*launcher_.Start(other), "18");
}

// A directory or file that cannot be read, as where there are no descriptors left or a disk fails, says nothing of the job.
TEST_F(SlurmLauncherTest, ARunDirectoryThatCannotBeReadIsNoEnd) {
  const std::string claim =
      convert::InDirectory(job_.run_directory(), convert::AttemptFile(job_.attempt()));
  std::filesystem::create_symlink(claim, claim);  // too many levels of links
  EXPECT_TRUE(absl::IsUnavailable(SightOf(job_.run_directory(), 1).status()));
  EXPECT_TRUE(absl::IsUnavailable(launcher_.Look(job_, "17").status()));
  EXPECT_TRUE(absl::IsUnavailable(launcher_.Find(job_).status()));
  std::filesystem::remove(claim);
  EXPECT_TRUE(launcher_.Look(job_, "17").ok());
}

TEST_F(SlurmLauncherTest, AnAttemptThatWasForbiddenIsNobodys) {
  EXPECT_TRUE(ForbidAttempt(job_).ok());
  EXPECT_TRUE(ForbidAttempt(job_).ok()) << "again, by a server that was killed in between";
  const auto sight = SightOf(job_.run_directory(), 1);
  ASSERT_TRUE(sight.ok()) << sight.status();
  EXPECT_TRUE(sight->claimed);
  EXPECT_FALSE(sight->has_claimer);
  v1::ShimHandle shim;
  shim.set_attempt(2);
  job_.set_attempt(2);
  const std::string claim = convert::InDirectory(job_.run_directory(), convert::AttemptFile(2));
  ASSERT_TRUE(convert::WriteJsonFile(claim, shim).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(ForbidAttempt(job_))) << "it has started";
  job_.set_run_directory("/absent");
  EXPECT_TRUE(ForbidAttempt(job_).ok()) << "nothing can start there";
}

TEST(HoldOffsTest, WhatNobodyWantsAnyMoreIsForgotten) {
  HoldOffs held;
  const absl::Status busy = absl::UnavailableError("busy");
  const absl::Duration soon = absl::Milliseconds(1);
  EXPECT_EQ(held.Note("cancelled", busy, soon, absl::Milliseconds(50)), busy);
  EXPECT_EQ(held.Check("cancelled"), busy);
  EXPECT_EQ(held.Note("other", busy, soon, absl::Seconds(50)), busy);
  EXPECT_EQ(held.count(), 2u);
  absl::SleepFor(absl::Milliseconds(60));
  EXPECT_TRUE(held.Check("cancelled").ok());
  EXPECT_TRUE(held.Note("third", absl::OkStatus(), soon, absl::Seconds(50)).ok());
  EXPECT_EQ(held.count(), 1u);
  EXPECT_EQ(held.Check("other"), busy);
}

}  // namespace
}  // namespace tunesmith::server
