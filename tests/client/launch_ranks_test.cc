// From a mix of several ranks to a fine-tuned model, with the trainer itself: the commands as users have them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/server/server_process.h"
#include "tests/trainer/job/job_files.h"

namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::ProcessResult;
using server::RunProcess;
using server::ServerProcess;

constexpr char kMix[] =
    "method=full precision=fp32 recompute=keep:2 attention=flash loss=full zero_stage=3 "
    "batch=1x2x2";
// Of the same rows, each by both ranks.
constexpr char kSequenceMix[] =
    "method=full precision=fp32 recompute=keep:2 attention=flash loss=full zero_stage=3 "
    "sequence_parallel=2 batch=1x4";

class LaunchRanksTest : public ::testing::Test {
 protected:
  static ProcessResult Tunesmith(std::vector<std::string> arguments,
                                 const std::map<std::string, std::string>& environment = {}) {
    arguments.insert(arguments.begin(), BinaryPath("tunesmith"));
    return RunProcess(arguments, environment);
  }

  // The losses of a job of the mix that `launch` runs and watches, in a server with that environment.
  std::map<int64_t, double> Launch(const std::string& name,
                                   const std::map<std::string, std::string>& environment,
                                   const char* mix = kMix) {
    const std::string plan = files_.File("plan.json"), data = files_.File(name);
    const ProcessResult estimated =
        Tunesmith({"--offline", "estimate", "--model", files_.File("model"), "--gpus", "2xcpu",
                   "--context", "32", "--batch", "4", "--mix", mix, "--plan-out", plan});
    EXPECT_EQ(estimated.status, 0) << estimated.errors;
    ServerProcess server(data, environment, {"--trainer", BinaryPath("tunesmith-trainer")});
    const ProcessResult launched = Tunesmith(
        {"launch", "--plan", plan, "--model", files_.File("model"), "--dataset",
         files_.File("train.jsonl"), "--steps", "6", "--learning-rate", "1e-2", "--watch"},
        {{"TUNESMITH_SERVER", server.address()}});
    EXPECT_EQ(launched.status, 0) << launched.errors;
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(data, error)) {
      if (entry.path().filename() == "events.jsonl")
        return trainer::LossesOf(entry.path().parent_path());
    }
    ADD_FAILURE() << "no run in " << data;
    return {};
  }

  trainer::JobFiles files_{kMix};
};

TEST_F(LaunchRanksTest, ProcessesAndThreadsLearnTheSame) {
  const auto threads = Launch("threads", {{"TUNESMITH_MPI_PLUGIN", "/nowhere"}});
  ASSERT_EQ(threads.size(), 6u);
  EXPECT_LT(threads.at(6), threads.at(1));
  // Under mpirun where it is; else threads again.
  EXPECT_EQ(Launch("processes", {}), threads);
}

TEST_F(LaunchRanksTest, RanksOfOneRowLearnWhatRanksOfTheirOwnRowsLearn) {
  const auto rows = Launch("rows", {}), shared = Launch("shared", {}, kSequenceMix);
  ASSERT_EQ(shared.size(), 6u);
  for (const auto& [step, loss] : rows) EXPECT_NEAR(shared.at(step), loss, 2e-5 * loss) << step;
}

}  // namespace
}  // namespace tunesmith::client
