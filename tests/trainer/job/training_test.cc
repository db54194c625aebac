// Early stop, the best checkpoint, losses that cannot be believed, and that nothing depends on the number of threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <thread>

#include "absl/strings/str_format.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "tests/trainer/job/job_files.h"
#include "tests/trainer/job/tensorboard_files.h"
#include "trainer/job/evaluate.h"
#include "trainer/job/run_job.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::JobExit RunToEnd(const std::string& run) {
  const std::atomic<bool> never_stops{false};
  return RunJob(run, never_stops);
}

std::vector<int64_t> Checkpoints(const std::string& run) {
  std::vector<int64_t> steps;
  for (int64_t step = 0; step <= 1000; ++step) {
    if (std::filesystem::exists(convert::InDirectory(run, convert::CheckpointDirectory(step))))
      steps.push_back(step);
  }
  return steps;
}

std::vector<v1::Evaluation> EvaluationsOf(const std::string& run) {
  std::vector<v1::Evaluation> evaluations;
  for (const v1::Event& event : ReadEvents(run)) {
    if (event.has_evaluation()) evaluations.push_back(event.evaluation());
  }
  return evaluations;
}

v1::Progress ProgressOf(const std::string& run, int64_t step) {
  for (const v1::Event& event : ReadEvents(run))
    if (event.progress().step() == step) return event.progress();
  ADD_FAILURE() << "no step " << step;
  return {};
}

std::string LogOf(const std::string& run) {
  std::string text;
  for (const v1::Event& event : ReadEvents(run)) text += event.log().text() + "\n";
  return text;
}

// A learning rate that rises without end: the model learns, and then forgets.
JobFiles& LearnAndForget(JobFiles& files) {
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().set_evaluate_every_step_count(2);
  v1::Training& training = *files.spec().mutable_training();
  training.set_step_count(60);
  training.set_warmup_step_count(60);
  training.set_learning_rate(1.0);
  return files;
}

TEST(TrainingTest, StopsEarlyAndWritesTheBest) {
  JobFiles files(kFullMix);
  LearnAndForget(files).spec().set_keep_best(true);
  files.spec().set_patience_evaluation_count(3);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_TRUE(exit.summary().stopped_early());
  EXPECT_LT(exit.last_step(), 60);
  const std::vector<v1::Evaluation> evaluations = EvaluationsOf(run);
  int64_t best_step = 0;
  double best = 1e9;
  for (const v1::Evaluation& evaluation : evaluations) {
    if (evaluation.step() == 0) continue;
    EXPECT_EQ(evaluation.best(), evaluation.mean_loss() < best) << evaluation.step();
    if (evaluation.best()) best = evaluation.mean_loss(), best_step = evaluation.step();
  }
  EXPECT_GT(best_step, 2);
  EXPECT_EQ(exit.last_step(), best_step + 2 * 3);
  EXPECT_EQ(evaluations.back().step(), exit.last_step());
  EXPECT_GT(evaluations.back().mean_loss(), best + 0.1);
  EXPECT_THAT(Checkpoints(run), ElementsAre(best_step, exit.last_step()));
  // The model is that of the best evaluation, and so says the summary.
  EXPECT_EQ(exit.summary().output_step(), best_step);
  EXPECT_EQ(exit.summary().held_out_loss_after(), best);
  const auto written = EvaluateModel({.model_path = run + "/output",
                                      .dataset_path = files.File("held_out.jsonl"),
                                      .context = files.question().workload.context,
                                      .thread_count = 2});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_NEAR(written->mean_loss, best, 1e-5);
  const v1::Progress then = ProgressOf(run, best_step);
  const std::string card = *ReadFile(run + "/output/README.md");
  EXPECT_THAT(card, HasSubstr(StrCat("| trained | ", best_step, " steps, ", then.token_count(),
                                     " tokens |")));
  EXPECT_THAT(card, HasSubstr(absl::StrFormat("| last training loss | %.4f |", then.loss())));
}

// A number that is none would be the best, and JSON has no word for it.
TEST(TrainingTest, AHeldOutLossThatIsNoNumberFailsTheJob) {
  JobFiles files(kFullMix);
  LearnAndForget(files).spec().set_keep_best(true);
  files.spec().set_evaluate_every_step_count(1);
  files.spec().mutable_training()->set_schedule(v1::SCHEDULE_CONSTANT);
  files.spec().mutable_training()->set_warmup_step_count(0);
  files.spec().mutable_training()->set_learning_rate(1e30);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(),
              testing::MatchesRegex("the held-out loss after step [1-4] is -?(nan|inf);"
                                    " lower the learning rate.*"));
  for (const v1::Evaluation& evaluation : EvaluationsOf(run))
    EXPECT_TRUE(std::isfinite(evaluation.mean_loss())) << evaluation.step();
}

TEST(TrainingTest, AnInterruptedJobStopsWhereAWholeOneDoes) {
  JobFiles files(kFullMix);
  LearnAndForget(files).spec().set_keep_best(true);
  files.spec().set_patience_evaluation_count(3);
  const std::string whole = files.WriteRun("whole"), cut = files.WriteRun("cut");
  ASSERT_EQ(RunToEnd(whole).state(), v1::JOB_STATE_SUCCEEDED);
  // Stops again and again; every attempt takes a few steps at least.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int64_t before = std::max<int64_t>(0, NewestStep(cut));
    std::atomic<bool> stop{false};
    std::thread watcher([&] {
      for (int i = 0; i < 2000 && LossesOf(cut).size() < static_cast<size_t>(before) + 3; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      stop = true;
    });
    const v1::JobExit exit = RunJob(cut, stop);
    watcher.join();
    if (exit.state() == v1::JOB_STATE_SUCCEEDED) break;
    ASSERT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
  }
  EXPECT_EQ(LossesOf(cut), LossesOf(whole));
  EXPECT_EQ(Checkpoints(cut), Checkpoints(whole));
  EXPECT_EQ(*ReadFile(cut + "/output/model.safetensors"),
            *ReadFile(whole + "/output/model.safetensors"));
}

TEST(TrainingTest, AsManyCheckpointsAreKeptAsAsked) {
  JobFiles files;
  files.spec().set_checkpoint_every_step_count(2);
  files.spec().set_kept_checkpoint_count(3);
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunToEnd(run).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(Checkpoints(run), ElementsAre(8, 10, 12));
}

TEST(TrainingTest, TheHeldOutShareIsReported) {
  JobFiles files;
  files.spec().set_evaluation_share(0.2);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  const int64_t count = exit.summary().held_out_document_count();
  EXPECT_GT(count, 0);
  EXPECT_DOUBLE_EQ(exit.summary().held_out_share(), static_cast<double>(count) / 30);
  const std::string text = std::to_string(count) + " documents, ";
  EXPECT_THAT(LogOf(run), HasSubstr("held out: " + text));
  EXPECT_THAT(*ReadFile(run + "/output/README.md"), HasSubstr("| held out | " + text));
}

TEST(TrainingTest, ASpikeFailsTheJobAndNamesStepAndRows) {
  JobFiles files(kFullMix);
  LearnAndForget(files).spec().set_most_loss_spike(1.5);
  files.spec().set_checkpoint_every_step_count(5);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(),
              testing::MatchesRegex("step [0-9]+ \\(lines [0-9, ]+( and [0-9]+ more)? of "
                                    "train.jsonl\\): the loss is .* times the median.*lower the "
                                    "learning rate.*"));
  EXPECT_THAT(exit.reason(), HasSubstr("step " + std::to_string(exit.last_step()) + " ("));
  // What was saved is from before.
  EXPECT_LT(NewestStep(run), exit.last_step());
  EXPECT_FALSE(std::filesystem::exists(run + "/output/model.safetensors"));
}

TEST(TrainingTest, ASpikeThatMayBeIsToldAndTheJobGoesOn) {
  JobFiles files(kFullMix);
  LearnAndForget(files).spec().mutable_training()->set_learning_rate(5.0);
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_THAT(LogOf(run), HasSubstr(" times the median of the steps before"));
}

TEST(TrainingTest, ALossThatIsNoNumberNamesStepAndRows) {
  for (const char* mix : {kLoraMix, kFullMix, kQloraMix}) {
    SCOPED_TRACE(mix);
    JobFiles files(mix);
    files.spec().mutable_training()->set_learning_rate(1e30);
    files.spec().mutable_training()->set_schedule(v1::SCHEDULE_CONSTANT);
    const std::string run = files.WriteRun();
    const v1::JobExit exit = RunToEnd(run);
    ASSERT_EQ(exit.state(), v1::JOB_STATE_FAILED);
    EXPECT_THAT(exit.reason(), testing::MatchesRegex(
                                   "step [2-4] \\(lines [0-9, ]+( and [0-9]+ more)? of train.jsonl"
                                   "\\): the (loss|gradient norm) is -?(nan|inf).*"));
    EXPECT_EQ(exit.last_step(), static_cast<int64_t>(LossesOf(run).size()));
  }
}

TEST(TrainingTest, CurvesAreThoseOfTheEvents) {
  JobFiles files;
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().set_checkpoint_every_step_count(4);
  const std::string run = files.WriteRun();
  const std::atomic<bool> stops{true};
  ASSERT_EQ(RunJob(run, stops).state(), v1::JOB_STATE_CANCELLED);
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  const std::vector<std::string> paths = TensorBoardFiles(run);
  ASSERT_EQ(paths.size(), 2u);  // a file for each attempt
  const auto curves = ReadTensorBoardFile(paths[1]);
  std::map<int64_t, float> losses;
  for (const auto& [step, loss] : LossesOf(run)) losses[step] = static_cast<float>(loss);
  EXPECT_EQ(CurveOf(curves, "train/loss"), losses);
  EXPECT_EQ(CurveOf(curves, "evaluation/loss").at(12),
            static_cast<float>(EvaluationsOf(run).back().mean_loss()));
}

// Neither how the work is shared nor in what order it ends changes a bit of what is learned.
TEST(TrainingTest, NothingDependsOnTheNumberOfThreads) {
  for (const char* mix : {kLoraMix, kFullMix, kQloraMix}) {
    SCOPED_TRACE(mix);
    JobFiles files(mix);
    std::map<int64_t, double> losses;
    std::string result;
    for (const int64_t threads : {1, 2, 3, 7}) {
      files.spec().set_thread_count(threads);
      const std::string run = files.WriteRun("threads" + std::to_string(threads));
      ASSERT_EQ(RunToEnd(run).state(), v1::JOB_STATE_SUCCEEDED);
      const std::string tensors = *ReadFile(
          convert::InDirectory(run, convert::CheckpointDirectory(12)) + "/state.safetensors");
      if (threads == 1) losses = LossesOf(run), result = tensors;
      EXPECT_EQ(LossesOf(run), losses) << threads << " threads";
      EXPECT_TRUE(tensors == result) << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace tunesmith::trainer
