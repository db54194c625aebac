#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "tests/trainer/job/job_files.h"
#include "tests/trainer/model_io/nf4_files.h"
#include "trainer/job/evaluate.h"
#include "trainer/job/run_job.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/model_writer.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

const std::atomic<bool> kNeverStops{false};

v1::JobExit RunToEnd(const std::string& run) { return RunJob(run, kNeverStops); }

v1::JobExit ReadExit(const std::string& run) {
  v1::JobExit exit;
  EXPECT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kExitFile), &exit).ok());
  return exit;
}

double LossOf(const JobFiles& files, const std::string& model, const std::string& adapter,
              std::optional<BaseForm> base_form = std::nullopt) {
  const auto result = EvaluateModel({.model_path = model,
                                     .adapter_path = adapter,
                                     .dataset_path = files.File("held_out.jsonl"),
                                     .context = files.question().workload.context,
                                     .thread_count = 2,
                                     .base_form = base_form});
  EXPECT_TRUE(result.ok()) << result.status();
  return result->mean_loss;
}

std::string ResultFile(const JobFiles& files) {
  return files.mix().method == planner::Method::kFull ? "/output/model.safetensors"
                                                      : "/output/adapter_model.safetensors";
}

class EitherMethodTest : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Methods, EitherMethodTest, testing::Values(kLoraMix, kFullMix, kQloraMix),
                         [](const auto& p) {
                           const std::string_view mix(p.param + sizeof("method=") - 1);
                           return std::string(mix.substr(0, mix.find_first_of(": ")));
                         });

TEST_P(EitherMethodTest, LearnsReportsAndSaves) {
  JobFiles files(GetParam());
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().add_sample_prompts("The package");
  files.spec().set_checkpoint_every_step_count(5);
  files.spec().set_evaluate_every_step_count(6);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_EQ(ReadExit(run).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(exit.last_step(), 12);

  const std::vector<v1::Event> events = ReadEvents(run);
  int64_t evaluations = 0, samples = 0, checkpoints = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence(), static_cast<int64_t>(i) + 1);
    evaluations += events[i].has_evaluation();
    samples += events[i].has_sample();
    checkpoints += events[i].has_checkpoint_saved();
  }
  EXPECT_EQ(evaluations, 3);  // before, after step 6, after the last
  EXPECT_EQ(samples, 2);
  EXPECT_EQ(checkpoints, 3);  // after steps 5, 10 and the last
  ASSERT_TRUE(events.back().has_finished());
  const auto losses = LossesOf(run);
  ASSERT_EQ(losses.size(), 12u);
  EXPECT_LT(losses.at(12), losses.at(1) - 0.5);
  const v1::Finished& summary = exit.summary();
  EXPECT_LT(summary.held_out_loss_after(), summary.held_out_loss_before() - 0.5);
  // The rows are packed, not full.
  EXPECT_LT(summary.token_count(), 12 * 4 * 32);
  EXPECT_GT(summary.token_count(), 12 * 4 * 32 / 2);
  EXPECT_GT(summary.used_arena_bytes(), 0);
  EXPECT_LE(summary.used_arena_bytes(), summary.predicted_arena_bytes());
  EXPECT_EQ(NewestStep(run), 12);
}

// What was saved, read back by other code and run under another mix, has the loss that the trainer reported.
TEST_P(EitherMethodTest, WhatWasSavedHasTheReportedLoss) {
  JobFiles files(GetParam());
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  const bool qlora = files.mix().method == planner::Method::kQlora;
  const BaseForm form = qlora ? BaseForm::kNf4Double : BaseForm::kWide;
  EXPECT_NEAR(LossOf(files, files.File("model"), "", form), exit.summary().held_out_loss_before(),
              1e-5);
  const bool full = files.mix().method == planner::Method::kFull;
  // An adapter says by itself what it was trained on.
  const double after = full ? LossOf(files, run + "/output", "")
                            : LossOf(files, files.File("model"), run + "/output");
  EXPECT_NEAR(after, exit.summary().held_out_loss_after(), 1e-5);
  if (!qlora) return;
  const double wide = LossOf(files, files.File("model"), run + "/output", BaseForm::kWide);
  EXPECT_GT(std::abs(wide - after), 1e-4);
}

// Conversations by the model's own template, a share of them held out.
TEST_P(EitherMethodTest, LearnsConversations) {
  JobFiles files(GetParam());
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"), SmallConversations(40)).ok());
  ASSERT_TRUE(WriteFileAtomically(files.File("model/chat_template.jinja"),
                                  "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}"
                                  "{{ eos_token }}{% endfor %}"
                                  "{% if add_generation_prompt %}a: {% endif %}")
                  .ok());
  files.spec().set_evaluation_share(0.2);
  files.spec().set_long_rows(v1::LONG_ROWS_DROP);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_LT(exit.summary().held_out_loss_after(), exit.summary().held_out_loss_before() - 0.5);
  const std::string card = *ReadFile(run + "/output/README.md");
  for (const char* part : {"| base model | model |", "train.jsonl, ", "| data digest | ",
                           "| plan | `method=", "12 steps", "| held-out loss after | "})
    EXPECT_NE(card.find(part), std::string::npos) << part << "\n" << card;
}

// A capacity that every row keeps to changes nothing that is learned.
TEST_P(EitherMethodTest, ALossOnCompletionsAloneLearnsTheSame) {
  JobFiles files(GetParam());
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"), SmallCompletions(30)).ok());
  ASSERT_TRUE(WriteFileAtomically(files.File("held_out.jsonl"), SmallCompletions(5)).ok());
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  const v1::JobExit all = RunToEnd(files.WriteRun("all"));
  ASSERT_EQ(all.state(), v1::JOB_STATE_SUCCEEDED) << all.reason();
  files.workload().loss_token_capacity = 12;
  const v1::JobExit some = RunToEnd(files.WriteRun("some"));
  ASSERT_EQ(some.state(), v1::JOB_STATE_SUCCEEDED) << some.reason();
  const auto expected = LossesOf(files.File("all"));
  for (const auto& [step, loss] : LossesOf(files.File("some")))
    EXPECT_NEAR(loss, expected.at(step), 1e-4) << "step " << step;
  EXPECT_NEAR(some.summary().held_out_loss_after(), all.summary().held_out_loss_after(), 1e-4);
  EXPECT_LE(some.summary().used_arena_bytes(), some.summary().predicted_arena_bytes());
}

TEST(JobTest, WhatTheCapacityLeavesOutIsSaidAndStillEvaluated) {
  JobFiles files;
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.workload().loss_token_capacity = 5;
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  std::string warnings, news;
  for (const v1::Event& event : ReadEvents(run)) {
    (event.log().severity() == v1::LOG_SEVERITY_WARNING ? warnings : news) += event.log().text();
  }
  EXPECT_THAT(news, HasSubstr(" 150 of them learned"));
  EXPECT_THAT(warnings, HasSubstr("30 documents have more tokens to predict than the 5 of a row"));
  EXPECT_THAT(warnings, HasSubstr("--loss-tokens-per-row"));
  // The held-out loss is of every token, as evaluate has it.
  EXPECT_NEAR(LossOf(files, files.File("model"), run + "/output"),
              exit.summary().held_out_loss_after(), 1e-5);
}

TEST(JobTest, TheAdapterHasEveryLinearLayerAndHasMoved) {
  JobFiles files;
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunToEnd(run).state(), v1::JOB_STATE_SUCCEEDED);
  const auto adapter = ReadAdapter(run + "/output");
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_EQ(adapter->rank, 4);
  EXPECT_EQ(adapter->modules.size(), 14u);
  for (const AdapterModule& module : adapter->modules) {
    EXPECT_TRUE(std::any_of(module.b.begin(), module.b.end(), [](float x) { return x != 0; }))
        << module.name;
  }
}

// What bitsandbytes stored is what we would have made of the same weights.
TEST(JobTest, ABaseStoredInFourBitsTrainsBitForBitTheSame) {
  for (const char* mix : {kQloraMix,
                          "method=qlora:r4:single precision=fp32 recompute=keep:2 attention=flash "
                          "loss=full batch=2x2"}) {
    JobFiles files(mix);
    const auto wide = OpenModel(files.File("model"));
    const RawTensors tensors = Nf4Checkpoint(**wide, files.mix().double_quantization);
    WriteNf4Model(files.File("stored"), SmallModel(), tensors);
    ASSERT_TRUE(WriteTokenizerFiles(files.File("model"), files.File("stored")).ok());
    ASSERT_EQ(RunToEnd(files.WriteRun("a")).state(), v1::JOB_STATE_SUCCEEDED);
    files.spec().set_model_path(files.File("stored"));
    const v1::JobExit exit = RunToEnd(files.WriteRun("b"));
    ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
    EXPECT_EQ(LossesOf(files.File("b")), LossesOf(files.File("a")));
    EXPECT_EQ(*ReadFile(files.File("b") + ResultFile(files)),
              *ReadFile(files.File("a") + ResultFile(files)));
  }
}

// Starts the trainer on `run` as a process of its own.
pid_t StartTrainer(const std::string& run) {
  const std::string binary = std::string(std::getenv("TUNESMITH_BIN_DIR")) + "/tunesmith-trainer";
  const pid_t child = fork();
  if (child == 0) {
    execl(binary.c_str(), binary.c_str(), "run", "--run-dir", run.c_str(), nullptr);
    _exit(127);
  }
  return child;
}

bool WaitForStep(const std::string& run, int64_t step) {
  for (int i = 0; i < 60'000; ++i) {
    if (NewestStep(run) >= step) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// Long enough that no machine finishes it between a checkpoint and the signal that follows.
JobFiles& Lengthen(JobFiles& files) {
  files.spec().mutable_training()->set_step_count(100);
  files.spec().set_checkpoint_every_step_count(3);
  return files;
}

void ExpectGoesOnBitForBit(JobFiles files) {
  const std::string whole = Lengthen(files).WriteRun("whole"), cut = files.WriteRun("cut");
  ASSERT_EQ(RunToEnd(whole).state(), v1::JOB_STATE_SUCCEEDED);
  std::atomic<bool> stop{false};
  std::thread watcher([&] { WaitForStep(cut, 6), stop = true; });
  const v1::JobExit exit = RunJob(cut, stop);
  watcher.join();
  ASSERT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
  EXPECT_EQ(NewestStep(cut), exit.last_step());
  ASSERT_EQ(RunToEnd(cut).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(LossesOf(cut), LossesOf(whole));
  EXPECT_EQ(*ReadFile(cut + ResultFile(files)), *ReadFile(whole + ResultFile(files)));
}

TEST_P(EitherMethodTest, AnInterruptedJobGoesOnBitForBit) {
  ExpectGoesOnBitForBit(JobFiles(GetParam()));
}

// What the adapter adds to its base is what it does beside it.
TEST_P(EitherMethodTest, TheMergedModelHasTheReportedLoss) {
  JobFiles files(GetParam());
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().set_merge_output(true);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  if (files.mix().method == planner::Method::kFull) {
    EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
    EXPECT_THAT(exit.reason(), HasSubstr("full fine-tuning makes none"));
    return;
  }
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_EQ(exit.summary().merged_dir(), run + "/output/merged");
  EXPECT_NEAR(LossOf(files, run + "/output/merged", ""), exit.summary().held_out_loss_after(),
              1e-5);
}

// A checkpoint holds every kind of state exactly, and the random bits of a step are the same the second time.
TEST(JobTest, AnInterruptedJobGoesOnBitForBitWithEveryOptimizer) {
  for (const char* axes :
       {"optimizer_state=bf16", "optimizer_state=int8 accumulation=bf16", "optimizer=sgd"}) {
    SCOPED_TRACE(axes);
    ExpectGoesOnBitForBit(JobFiles(StrCat(kFullMix, " ", axes)));
  }
}

TEST(JobTest, AnInterruptedJobGoesOnBitForBitInBf16) {
  for (const char* states : {"fp32", "bf16"}) {
    ExpectGoesOnBitForBit(JobFiles(
        StrCat("method=full precision=bf16 recompute=keep:1,block:1 attention=flash loss=chunked "
               "batch=1x4 optimizer_state=",
               states)));
  }
}

// The base is quantized anew at every start, to the same codes.
TEST(JobTest, AnInterruptedJobGoesOnBitForBitOnAQuantizedBase) {
  ExpectGoesOnBitForBit(
      JobFiles("method=qlora:r4:single precision=bf16 recompute=keep:2 "
               "attention=flash loss=full batch=2x2"));
}

TEST_P(EitherMethodTest, AKilledJobGoesOnFromItsCheckpoint) {
  JobFiles files(GetParam());
  const std::string whole = Lengthen(files).WriteRun("whole"), killed = files.WriteRun("killed");
  ASSERT_EQ(RunToEnd(whole).state(), v1::JOB_STATE_SUCCEEDED);
  const pid_t child = StartTrainer(killed);
  EXPECT_TRUE(WaitForStep(killed, 3));
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the trainer ended by itself, with status " << status;
  EXPECT_FALSE(std::filesystem::exists(convert::InDirectory(killed, convert::kExitFile)));
  ASSERT_EQ(RunToEnd(killed).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(LossesOf(killed), LossesOf(whole));
  EXPECT_EQ(*ReadFile(killed + ResultFile(files)), *ReadFile(whole + ResultFile(files)));
  const std::vector<v1::Event> events = ReadEvents(killed);
  for (size_t i = 0; i < events.size(); ++i)
    EXPECT_EQ(events[i].sequence(), static_cast<int64_t>(i) + 1);
}

// SIGTERM, as the server's cancel sends it.
TEST_P(EitherMethodTest, TheProcessSavesAndEndsWellWhenItIsAskedToStopAndGoesOn) {
  JobFiles files(GetParam());
  const std::string whole = Lengthen(files).WriteRun("whole"), run = files.WriteRun();
  ASSERT_EQ(RunToEnd(whole).state(), v1::JOB_STATE_SUCCEEDED);
  const pid_t child = StartTrainer(run);
  EXPECT_TRUE(WaitForStep(run, 3));
  kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const v1::JobExit exit = ReadExit(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(NewestStep(run), exit.last_step());
  ASSERT_EQ(RunToEnd(run).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(LossesOf(run), LossesOf(whole));
  EXPECT_EQ(*ReadFile(run + ResultFile(files)), *ReadFile(whole + ResultFile(files)));
}

}  // namespace
}  // namespace tunesmith::trainer
