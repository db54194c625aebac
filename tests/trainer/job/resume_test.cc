// What a job does and tells that goes on from a checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "common/json.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "tests/trainer/job/job_files.h"
#include "trainer/job/run_job.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

v1::JobExit RunOnce(const std::string& run, bool stops = false) {
  const std::atomic<bool> stop{stops};
  return RunJob(run, stop);
}

// Runs until there is a checkpoint of step `step` or later, and stops.
v1::JobExit RunBeyond(const std::string& run, int64_t step) {
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    for (int i = 0; i < 60'000 && NewestStep(run) < step; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stop = true;
  });
  v1::JobExit exit = RunJob(run, stop);
  watcher.join();
  return exit;
}

std::string StateFile(const std::string& run, int64_t step) {
  return convert::InDirectory(run, convert::CheckpointDirectory(step)) + "/state.json";
}

// Another file has another number, whatever it says.
ino_t NumberOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

TEST(ResumeTest, ANegativeSeedGoesOn) {
  JobFiles files;
  files.spec().mutable_training()->set_seed(-7);
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunOnce(run, true).state(), v1::JOB_STATE_CANCELLED);
  const v1::JobExit exit = RunOnce(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
}

TEST(ResumeTest, WhatIsSavedAlreadyIsNotSavedAgain) {
  JobFiles files;
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunOnce(run, true).state(), v1::JOB_STATE_CANCELLED);
  const ino_t first = NumberOf(StateFile(run, 0));
  const v1::JobExit exit = RunOnce(run, true);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
  EXPECT_EQ(NumberOf(StateFile(run, 0)), first);
}

// A kill between the two renames of a checkpoint that replaces one of the same step, and while others were written.
TEST(ResumeTest, GoesOnFromWhatAKillLeft) {
  JobFiles files;
  const std::string run = files.WriteRun(), output = run + "/output";
  ASSERT_EQ(RunOnce(run, true).state(), v1::JOB_STATE_CANCELLED);
  const std::string path = convert::InDirectory(run, convert::CheckpointDirectory(0));
  std::filesystem::rename(path, path + ".replaced");
  ASSERT_TRUE(MakeDirectories(path + ".partial").ok());
  const std::string left = output + "/adapter_model.safetensors.12-3.tmp";
  ASSERT_TRUE(MakeDirectories(output).ok());
  ASSERT_TRUE(WriteFileAtomically(left, "half").ok());
  const v1::JobExit exit = RunOnce(run, true);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
  EXPECT_TRUE(std::filesystem::exists(path + "/state.json"));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  EXPECT_FALSE(std::filesystem::exists(path + ".replaced"));
  EXPECT_FALSE(std::filesystem::exists(left));
}

// Else the job would begin anew, and remove the checkpoints once they can be seen again.
TEST(ResumeTest, CheckpointsThatCannotBeListedAreAnError) {
  JobFiles files;
  const std::string run = files.WriteRun();
  std::filesystem::create_symlink(run + "/checkpoints", run + "/checkpoints");
  const v1::JobExit exit = RunOnce(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(), HasSubstr("cannot list the checkpoints in "));
  EXPECT_TRUE(LossesOf(run).empty());
}

TEST(ResumeTest, OtherDataIsRefused) {
  JobFiles files;
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunOnce(run, true).state(), v1::JOB_STATE_CANCELLED);
  const std::string before = *ReadFile(files.File("train.jsonl"));
  std::string after = before;
  after[after.find("number 3")] = 'N';
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"), after).ok());
  const v1::JobExit refused = RunOnce(run);
  EXPECT_EQ(refused.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(refused.reason(),
              HasSubstr("train.jsonl are not those that the checkpoint of step 0"));
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"), before).ok());
  const v1::JobExit exit = RunOnce(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
}

// Earlier versions did not save what the data was.
TEST(ResumeTest, ACheckpointOfAnEarlierVersionGoesOn) {
  JobFiles files;
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunOnce(run, true).state(), v1::JOB_STATE_CANCELLED);
  auto state = *ParseJson(*ReadFile(StateFile(run, 0)), "state.json");
  for (const char* field : {"data_digest", "held_out_loss_before", "last_loss"}) state.erase(field);
  ASSERT_TRUE(WriteFileAtomically(StateFile(run, 0), state.dump()).ok());
  const v1::JobExit exit = RunOnce(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_TRUE(exit.summary().has_held_out_loss_after());
}

int64_t CountEvaluations(const std::string& run, int64_t step) {
  int64_t count = 0;
  for (const v1::Event& event : ReadEvents(run))
    count += event.has_evaluation() && event.evaluation().step() == step;
  return count;
}

// A held-out set may take longer than there is time between the wish to stop and the end.
TEST(ResumeTest, AnEvaluationStopsAndIsDoneByTheNextAttempt) {
  JobFiles files;
  ASSERT_TRUE(WriteFileAtomically(files.File("held_out.jsonl"), SmallData(3000)).ok());
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  const std::string run = files.WriteRun();
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    const std::string heartbeat = convert::InDirectory(run, convert::kHeartbeatFile);
    while (!std::filesystem::exists(heartbeat)) std::this_thread::yield();
    stop = true;
  });
  const v1::JobExit exit = RunJob(run, stop);
  watcher.join();
  ASSERT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
  EXPECT_EQ(exit.last_step(), 0);
  EXPECT_EQ(CountEvaluations(run, 0), 0);
  ASSERT_TRUE(WriteFileAtomically(files.File("held_out.jsonl"), SmallData(30)).ok());
  ASSERT_EQ(RunOnce(run).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(CountEvaluations(run, 0), 1);
}

// What an attempt that was stopped while it evaluated leaves: a checkpoint of a step whose evaluation is due.
TEST(ResumeTest, AnEvaluationThatIsDueIsMadeUpFor) {
  JobFiles files;
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().mutable_training()->set_step_count(100);
  files.spec().set_checkpoint_every_step_count(1);
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunBeyond(run, 1).state(), v1::JOB_STATE_CANCELLED);
  const int64_t step = NewestStep(run);
  files.spec().set_evaluate_every_step_count(step);
  ASSERT_EQ(RunOnce(files.WriteRun()).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(CountEvaluations(run, step), 1);
}

// The heartbeat says how far a job came whose trainer is lost.
TEST(ResumeTest, TheHeartbeatDoesNotGoBackToTheStart) {
  JobFiles files;
  files.spec().mutable_training()->set_step_count(100);
  files.spec().set_checkpoint_every_step_count(3);
  const std::string run = files.WriteRun();
  const int64_t step = RunBeyond(run, 3).last_step();
  std::filesystem::remove(files.File("train.jsonl"));
  ASSERT_EQ(RunOnce(run).state(), v1::JOB_STATE_FAILED);
  v1::Heartbeat heartbeat;
  ASSERT_TRUE(
      convert::ReadJsonFile(convert::InDirectory(run, convert::kHeartbeatFile), &heartbeat).ok());
  EXPECT_EQ(heartbeat.step(), step);
}

void ExpectSameLosses(const v1::Finished& one, const v1::Finished& other) {
  EXPECT_TRUE(one.has_held_out_loss_before());
  EXPECT_EQ(one.held_out_loss_before(), other.held_out_loss_before());
  EXPECT_EQ(one.held_out_loss_after(), other.held_out_loss_after());
  EXPECT_EQ(one.final_loss(), other.final_loss());
  EXPECT_GT(one.final_loss(), 0);
}

TEST(ResumeTest, TheSummaryIsThatOfTheWholeJob) {
  JobFiles files;
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().mutable_training()->set_step_count(100);
  files.spec().set_checkpoint_every_step_count(3);
  const std::string whole = files.WriteRun("whole"), cut = files.WriteRun("cut");
  const v1::JobExit expected = RunOnce(whole);
  ASSERT_EQ(RunBeyond(cut, 3).state(), v1::JOB_STATE_CANCELLED);
  const v1::JobExit exit = RunOnce(cut);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  ExpectSameLosses(exit.summary(), expected.summary());
  EXPECT_EQ(*ReadFile(cut + "/output/README.md"), *ReadFile(whole + "/output/README.md"));
  // As after a kill at the very end: no step is left to be taken.
  const v1::JobExit again = RunOnce(cut);
  ASSERT_EQ(again.state(), v1::JOB_STATE_SUCCEEDED) << again.reason();
  ExpectSameLosses(again.summary(), expected.summary());
  EXPECT_EQ(again.summary().measured_step_seconds(), 0);
}

}  // namespace
}  // namespace tunesmith::trainer
