#include "tests/client/ranked_launch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/client/command.h"

namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::ProcessResult;

// What the run's logs say.
std::string Logs(const std::string& run) {
  std::string text;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(run + "/log", error)) {
    std::ifstream file(entry.path());
    text += entry.path().string() + ":\n" + std::string(std::istreambuf_iterator<char>(file), {});
  }
  return text;
}

}  // namespace

std::map<int64_t, double> LossesOf(const trainer::JobFiles& files, const RankedLaunch& launch) {
  const std::string plan = files.File(launch.name + ".json"), data = files.File(launch.name);
  const ProcessResult estimated =
      Tunesmith({"--offline", "estimate", "--model", files.File("model"), "--gpus", launch.devices,
                 "--context", "32", "--batch", "4", "--mix", launch.mix, "--plan-out", plan});
  EXPECT_EQ(estimated.status, 0) << estimated.errors;
  std::vector<std::string> flags = {"--trainer",
                                    std::filesystem::absolute(BinaryPath("tunesmith-trainer"))};
  flags.insert(flags.end(), launch.server_flags.begin(), launch.server_flags.end());
  server::ServerProcess server(data, launch.environment, flags);
  std::vector<std::string> arguments = {"launch",
                                        "--plan",
                                        plan,
                                        "--model",
                                        files.File("model"),
                                        "--dataset",
                                        files.File("train.jsonl"),
                                        "--steps",
                                        "6",
                                        "--learning-rate",
                                        "1e-2",
                                        "--watch"};
  arguments.insert(arguments.end(), launch.launch_flags.begin(), launch.launch_flags.end());
  const ProcessResult launched = Tunesmith(arguments, {{"TUNESMITH_SERVER", server.address()}});
  const std::string run = data + "/jobs/job-1";
  EXPECT_EQ(launched.status, 0) << launched.errors << Logs(run);
  return trainer::LossesOf(run);
}

}  // namespace tunesmith::client
