// Jobs on several ranks, as threads and as processes, beside the same job on one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/file.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "tests/common/processes.h"
#include "tests/trainer/comm/run_ranks.h"
#include "tests/trainer/job/job_files.h"
#include "trainer/job/run_job.h"
#include "trainer/job/thread_ranks.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

const std::atomic<bool> kNeverStops{false};

v1::JobExit ReadExit(const std::string& run) {
  v1::JobExit exit;
  EXPECT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kExitFile), &exit).ok());
  return exit;
}

std::string Trainer(const std::string& run) {
  const char* folder = std::getenv("TUNESMITH_BIN_DIR");
  return StrCat(folder == nullptr ? "build/bin" : folder, "/tunesmith-trainer run --run-dir ", run);
}

// The job of a mix with another batch.
class RankFiles : public JobFiles {
 public:
  RankFiles(const std::string& mix, const std::string& batch)
      : JobFiles(StrCat(mix, " batch=", batch)) {
    spec().set_evaluation_path(File("held_out.jsonl"));
    spec().add_sample_prompts("The package");
    spec().set_evaluate_every_step_count(6);
  }
};

constexpr char kLora[] = "method=lora:r4 precision=fp32 recompute=keep:2 attention=flash loss=full";
constexpr char kDropout[] =
    "method=lora:r4:d0.1 precision=fp32 recompute=keep:2 attention=flash loss=full";
constexpr char kFull[] =
    "method=full precision=fp32 recompute=keep:1,block:1 attention=eager loss=chunked";

// Losses of training and evaluation, by order of events.
std::vector<double> AllLosses(const std::string& run) {
  std::vector<double> losses;
  int64_t sequence = 0;
  for (const v1::Event& event : ReadEvents(run)) {
    EXPECT_EQ(event.sequence(), ++sequence) << "more than one rank reports";
    if (event.has_progress()) losses.push_back(event.progress().loss());
    if (event.has_evaluation()) losses.push_back(event.evaluation().mean_loss());
    if (event.has_evaluation())
      losses.push_back(static_cast<double>(event.evaluation().token_count()));
  }
  return losses;
}

struct Case {
  const char* name;
  const char* mix;
  const char* batch;  // of micro-batch x accumulation x data ranks, and how many share one
  const char* batch_alone;
};

class RanksTest : public testing::TestWithParam<Case> {
 protected:
  static std::string Mix(int64_t zero_stage) {
    return StrCat(GetParam().mix, " zero_stage=", zero_stage);
  }
};

INSTANTIATE_TEST_SUITE_P(
    Jobs, RanksTest,
    testing::Values(Case{"lora_2", kLora, "1x2x2", "4x1"}, Case{"lora_3", kLora, "2x1x3", "3x2"},
                    Case{"full_2", kFull, "2x1x2", "4x1"}, Case{"full_4", kFull, "1x1x4", "4x1"},
                    Case{"dropout_2", kDropout, "1x2x2", "4x1"},
                    Case{"sequence_2", kDropout, "1x4 sequence_parallel=2", "4x1"},
                    Case{"sequence_2x2", kFull, "2x1x2 sequence_parallel=2", "4x1"}),
    [](const auto& p) { return std::string(p.param.name); });

TEST_P(RanksTest, RanksLearnWhatOneRankLearns) {
  RankFiles alone(StrCat(GetParam().mix), GetParam().batch_alone);
  const std::string run_alone = alone.WriteRun();
  ASSERT_EQ(RunJob(run_alone, kNeverStops).state(), v1::JOB_STATE_SUCCEEDED);
  const std::vector<double> expected = AllLosses(run_alone);
  for (const int64_t zero_stage : {0, 1, 2, 3}) {
    SCOPED_TRACE(StrCat("zero_stage=", zero_stage));
    RankFiles files(Mix(zero_stage), GetParam().batch);
    const std::string run = files.WriteRun();
    const v1::JobExit exit = RunJob(run, kNeverStops);
    ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
    EXPECT_EQ(exit.summary().token_count(), ReadExit(run_alone).summary().token_count());
    EXPECT_LE(exit.summary().used_arena_bytes(), exit.summary().predicted_arena_bytes());
    const std::vector<double> losses = AllLosses(run);
    ASSERT_EQ(losses.size(), expected.size());
    for (size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(losses[i], expected[i], 2e-5 * std::abs(expected[i])) << "loss " << i;
  }
}

std::string ResultFile(const JobFiles& files) {
  return files.mix().method == planner::Method::kFull ? "/output/model.safetensors"
                                                      : "/output/adapter_model.safetensors";
}

TEST_P(RanksTest, ProcessesLearnWhatThreadsLearnBitForBit) {
  for (const int64_t zero_stage : {0, 3}) {
    RankFiles files(Mix(zero_stage), GetParam().batch);
    const std::string threads = files.WriteRun("threads");
    ASSERT_EQ(RunJob(threads, kNeverStops).state(), v1::JOB_STATE_SUCCEEDED);
    for (const Launcher launcher : {Launcher::kMpi, Launcher::kShell}) {
      if (!WhyAbsent(launcher).empty()) continue;
      const std::string processes =
          files.WriteRun(launcher == Launcher::kMpi ? "by_mpi" : "by_tcp");
      const RanksRun run =
          RunRanks(launcher, static_cast<int>(RankCount(files.mix())), Trainer(processes));
      ASSERT_EQ(run.status, 0) << run.output;
      EXPECT_EQ(ReadExit(processes).state(), v1::JOB_STATE_SUCCEEDED);
      EXPECT_EQ(AllLosses(processes), AllLosses(threads));
      EXPECT_EQ(*ReadFile(processes + ResultFile(files)), *ReadFile(threads + ResultFile(files)));
    }
  }
}

TEST_P(RanksTest, AnInterruptedJobGoesOnBitForBit) {
  RankFiles files(Mix(2), GetParam().batch);
  files.spec().mutable_training()->set_step_count(40);
  files.spec().set_checkpoint_every_step_count(3);
  const std::string whole = files.WriteRun("whole"), cut = files.WriteRun("cut");
  ASSERT_EQ(RunJob(whole, kNeverStops).state(), v1::JOB_STATE_SUCCEEDED);
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    while (NewestStep(cut) < 6) std::this_thread::yield();
    stop = true;
  });
  const v1::JobExit exit = RunJob(cut, stop);
  watcher.join();
  ASSERT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
  EXPECT_EQ(NewestStep(cut), exit.last_step());
  ASSERT_EQ(RunJob(cut, kNeverStops).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(LossesOf(cut), LossesOf(whole));
  EXPECT_EQ(*ReadFile(cut + ResultFile(files)), *ReadFile(whole + ResultFile(files)));
}

// A job that ends only when it is made to.
class LongFiles : public RankFiles {
 public:
  LongFiles() : RankFiles(StrCat(kLora, " zero_stage=3"), "1x2x2") {
    spec().mutable_training()->set_step_count(100'000);
    spec().set_checkpoint_every_step_count(3);
  }
};

class ProcessRanksTest : public testing::TestWithParam<Launcher> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyAbsent(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }

  // Lets two ranks run, sends `signal` to rank `rank` once there is a checkpoint, and waits for the end.
  static RanksRun RunAndSignal(const std::string& run, int64_t rank, int signal) {
    std::thread sender([&] {
      while (NewestStep(run) < 3) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      kill(static_cast<pid_t>(ProcessOfRank(run, rank)), signal);
    });
    RanksRun result = RunRanks(GetParam(), 2, Trainer(run));
    sender.join();
    return result;
  }

  // The trainer on `run` whose environment says that rank.
  static int64_t ProcessOfRank(const std::string& run, int64_t rank) {
    for (const ProcessSeen& process : ProcessesThatNameIt(run)) {
      if (process.command.find("tunesmith-trainer") != std::string::npos &&
          process.command.find("mpirun") == std::string::npos &&
          HasVariable(process.environment, RankVariable(GetParam(), rank)))
        return process.pid;
    }
    ADD_FAILURE() << "rank " << rank << " does not run";
    return 0;
  }

  // Variables end with a NUL.
  static bool HasVariable(const std::string& environment, const std::string& variable) {
    const std::string_view whole(variable.c_str(), variable.size() + 1);
    return environment.starts_with(whole) ||
           environment.find(std::string(1, '\0').append(whole)) != std::string::npos;
  }
};

INSTANTIATE_TEST_SUITE_P(Launchers, ProcessRanksTest,
                         testing::Values(Launcher::kMpi, Launcher::kShell), LauncherName);

// SIGTERM to one rank, whichever: all agree, save and end well.
TEST_P(ProcessRanksTest, AllSaveAndEndWhenOneIsAskedToStop) {
  for (const int64_t rank : {0, 1}) {
    LongFiles files;
    const std::string run = files.WriteRun();
    const RanksRun result = RunAndSignal(run, rank, SIGTERM);
    EXPECT_EQ(result.status, 0) << result.output;
    const v1::JobExit exit = ReadExit(run);
    EXPECT_EQ(exit.state(), v1::JOB_STATE_CANCELLED) << exit.reason();
    EXPECT_EQ(NewestStep(run), exit.last_step());
  }
}

TEST_P(ProcessRanksTest, ARankThatIsKilledEndsAllAndIsNamed) {
  LongFiles files;
  const std::string run = files.WriteRun();
  const RanksRun result = RunAndSignal(run, 1, SIGKILL);
  EXPECT_NE(result.status, 0);
  const v1::JobExit exit = ReadExit(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(), AllOf(HasSubstr("rank 1 (process "), HasSubstr("died")));
  EXPECT_GE(exit.last_step(), 3);
}

// Rank 1 finds another data set in its working directory.
TEST_P(ProcessRanksTest, TheCauseOfARankThatFailsReachesTheExit) {
  RankFiles files(kLora, "1x2x2");
  files.spec().set_dataset_path("data.jsonl");
  const std::string run = files.WriteRun(), good = files.File("good"), bad = files.File("bad");
  for (const std::string& folder : {good, bad}) ASSERT_TRUE(MakeDirectories(folder).ok());
  ASSERT_TRUE(WriteFileAtomically(good + "/data.jsonl", SmallData(30)).ok());
  ASSERT_TRUE(WriteFileAtomically(bad + "/data.jsonl", "{\"text\": 3}\n").ok());
  const std::string trainer = fs::absolute(Trainer(run));
  const RanksRun result = RunRanks(
      GetParam(), {StrCat("env -C ", good, " ", trainer), StrCat("env -C ", bad, " ", trainer)});
  EXPECT_NE(result.status, 0);
  EXPECT_LT(result.seconds, 10);
  const v1::JobExit exit = ReadExit(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(), AllOf(HasSubstr("rank 1 failed: "), HasSubstr("data.jsonl")));
  EXPECT_THAT(result.output, HasSubstr("data.jsonl"));
}

TEST_P(ProcessRanksTest, RanksOfAnotherPlanAreRefused) {
  RankFiles lora(kLora, "1x2x2"), full(kFull, "1x2x2");
  const std::string run = lora.WriteRun(), other = full.WriteRun();
  // By TCP they prove to be of one run directory first.
  ASSERT_TRUE(WriteFileAtomically(run + "/rank-secret", std::string(64, 'a')).ok());
  fs::permissions(run + "/rank-secret", fs::perms::owner_read);
  fs::copy_file(run + "/rank-secret", other + "/rank-secret");
  const RanksRun result = RunRanks(GetParam(), {Trainer(run), Trainer(other)});
  EXPECT_NE(result.status, 0);
  if (GetParam() == Launcher::kMpi) {
    EXPECT_THAT(ReadExit(run).reason(), AllOf(HasSubstr("the ranks have different plan digests: "),
                                              HasSubstr(" on rank 0"), HasSubstr(" on rank 1")));
  } else {
    EXPECT_THAT(ReadExit(run).reason(),
                AllOf(HasSubstr("the ranks differ: rank 1 has "), HasSubstr("plan.json "),
                      HasSubstr("and rank 0 has ")));
  }
}

TEST_P(ProcessRanksTest, RanksThatAreNotThePlansAreToldTheEquation) {
  for (const char* batch : {"1x4", "1x1x4"}) {
    RankFiles files(kLora, batch);
    const std::string run = files.WriteRun();
    EXPECT_NE(RunRanks(GetParam(), 2, Trainer(run)).status, 0);
    EXPECT_THAT(ReadExit(run).reason(),
                HasSubstr(StrCat("data_parallel(", files.mix().data_parallel,
                                 ") of the plan != ranks(2) by ",
                                 GetParam() == Launcher::kMpi ? "OMPI_COMM_" : "", "WORLD_SIZE")));
  }
}

TEST_P(ProcessRanksTest, RanksThatShareAMicroBatchAreCountedToo) {
  RankFiles files(kLora, "1x1x2 sequence_parallel=2");
  const std::string run = files.WriteRun();
  EXPECT_NE(RunRanks(GetParam(), 2, Trainer(run)).status, 0);
  EXPECT_THAT(ReadExit(run).reason(),
              HasSubstr("data_parallel(2) x sequence_parallel(2) of the plan != ranks(2)"));
}

TEST(RankSetupTest, RanksOnGpusAreProcesses) {
  RankFiles files(kLora, "1x2x2");
  files.spec().set_device("cuda:0");
  const v1::JobExit exit = RunJob(files.WriteRun(), kNeverStops);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(), HasSubstr("2 ranks on cuda:0, and this process is alone: each rank is "
                                       "a process, as `mpirun -n 2` starts them"));
}

TEST(RankSetupTest, AnEnvironmentThatContradictsItselfIsNamed) {
  RankFiles files(kLora, "1x2x2");
  setenv("WORLD_SIZE", "2", 1);
  const v1::JobExit exit = RunJob(files.WriteRun(), kNeverStops);
  unsetenv("WORLD_SIZE");
  EXPECT_THAT(exit.reason(), HasSubstr("WORLD_SIZE=2 without RANK"));
}

TEST(RankSetupTest, RanksShareTheirHostsThreads) {
  EXPECT_EQ(ThreadsOfRank(8, 2), 4);
  EXPECT_EQ(ThreadsOfRank(8, 3), 2);
  EXPECT_EQ(ThreadsOfRank(2, 4), 1);
  EXPECT_GE(ThreadsOfRank(0, 1), 1);
  EXPECT_LE(ThreadsOfRank(0, 1), std::thread::hardware_concurrency());
  EXPECT_EQ(ThreadsOfRank(0, 1'000'000), 1);
}

}  // namespace
}  // namespace tunesmith::trainer
