// Jobs on emulated GPUs, one process a rank, beside the same job on a CPU: offload, ZeRO, ranks that share a micro-batch, and both ways of GPUs to exchange what they have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>

#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "tests/trainer/comm/run_ranks.h"
#include "tests/trainer/job/job_files.h"
#include "trainer/job/run_job.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

const std::atomic<bool> kNeverStops{false};

v1::JobExit ExitOf(const std::string& run) {
  v1::JobExit exit;
  EXPECT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kExitFile), &exit).ok());
  return exit;
}

// Losses of training, and of the evaluation at the end.
std::vector<double> AllLosses(const std::string& run) {
  std::vector<double> losses;
  for (const v1::Event& event : ReadEvents(run)) {
    if (event.has_progress()) losses.push_back(event.progress().loss());
    if (event.has_evaluation()) losses.push_back(event.evaluation().mean_loss());
  }
  return losses;
}

struct Case {
  const char* name;
  const char* placement;
  const char* method;
  const char* collectives;  // how ranks exchange what they have
  bool locks_memory = true;
};

std::string Line(const char* method, const char* placement) {
  return StrCat(method, " precision=fp32 attention=flash ", placement);
}

class EmulatedRanksTest : public testing::TestWithParam<Case> {
 protected:
  static void Prepare(JobFiles& files) {
    files.spec().set_evaluation_path(files.File("held_out.jsonl"));
    files.spec().mutable_training()->set_step_count(4);
    files.spec().set_evaluate_every_step_count(4);
  }

  // The losses of the parameter's job by processes whose CUDA is emulated.
  static std::vector<double> Emulated() {
    JobFiles files(Line(GetParam().method, GetParam().placement));
    Prepare(files);
    files.devices().hardware = *planner::FindHardware("A100-80GB");
    files.spec().set_device("cuda:0");
    const std::string run = files.WriteRun();
    setenv("TUNESMITH_COLLECTIVES", GetParam().collectives, 1);
    setenv("TUNESMITH_NCCL", TUNESMITH_EMULATED_NCCL, 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    if (!GetParam().locks_memory) setenv("TUNESMITH_EMULATED_HOST_LOCKS_NONE", "1", 1);
    const RanksRun ranks = RunRanks(Launcher::kShell, static_cast<int>(RankCount(files.mix())),
                                    StrCat(TUNESMITH_EMULATED_TRAINER, " run --run-dir ", run));
    unsetenv("TUNESMITH_EMULATED_HOST_LOCKS_NONE");
    EXPECT_EQ(ranks.status, 0) << ranks.output;
    const v1::JobExit exit = ExitOf(run);
    EXPECT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
    EXPECT_LE(exit.summary().used_arena_bytes(), exit.summary().predicted_arena_bytes());
    return AllLosses(run);
  }
};

constexpr char kFull[] = "method=full", kLora[] = "method=lora:r8", kQlora[] = "method=qlora:r8";
constexpr char kAlone[] = "recompute=keep:2 batch=4x1";

INSTANTIATE_TEST_SUITE_P(
    Jobs, EmulatedRanksTest,
    testing::Values(
        Case{"optimizer_on_the_host", "offload=optimizer recompute=keep:2 batch=2x2", kFull,
             "host"},
        Case{"all_on_the_host", "offload=all recompute=host:2 loss=chunked batch=2x2", kFull,
             "host"},
        Case{"zero_0", "recompute=keep:2 batch=2x1x2", kFull, "host"},
        Case{"zero_1_unlocked", "zero_stage=1 offload=optimizer recompute=keep:2 batch=1x2x2",
             kFull, "host", false},
        Case{"zero_2_nccl", "zero_stage=2 recompute=block:2 batch=1x2x2", kFull, "nccl"},
        Case{"zero_3_nccl", "zero_stage=3 recompute=keep:1,block:1 batch=1x2x2", kFull, "nccl"},
        Case{"zero_3_qlora", "zero_stage=3 recompute=keep:2 batch=2x1x2", kQlora, "nccl"},
        Case{"offload_part_2",
             "zero_stage=1 offload=optimizer offload_percent=40 recompute=keep:2 batch=1x2x2",
             kFull, "nccl"},
        Case{"offload_2", "zero_stage=3 offload=all recompute=keep:2 batch=1x2x2", kFull, "host"},
        Case{"sequence_2", "sequence_parallel=2 recompute=keep:2 batch=2x2", kFull, "host"},
        Case{"sequence_2_nccl", "sequence_parallel=2 zero_stage=3 recompute=keep:2 batch=2x2",
             kLora, "nccl"}),
    [](const auto& p) { return std::string(p.param.name); });

TEST_P(EmulatedRanksTest, LearnWhatOneRankOnTheCpuLearns) {
  JobFiles files(Line(GetParam().method, kAlone));
  Prepare(files);
  const std::string run = files.WriteRun();
  ASSERT_EQ(RunJob(run, kNeverStops).state(), v1::JOB_STATE_SUCCEEDED);
  const std::vector<double> expected = AllLosses(run), losses = Emulated();
  ASSERT_EQ(losses.size(), expected.size());
  ASSERT_GE(losses.size(), 5u);
  for (size_t i = 0; i < losses.size(); ++i)
    EXPECT_NEAR(losses[i], expected[i], 1e-4 * std::abs(expected[i])) << "loss " << i;
  EXPECT_LT(losses[3], losses[0]);
}

}  // namespace
}  // namespace tunesmith::trainer
