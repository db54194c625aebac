#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/model_spec.h"
#include "tests/client/command.h"

// The command as users have it: how it refuses, the verbs that the linked planner, a server or the trainer answers.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(CliTest, AFlagThatIsNotKnownIsNamedWithTheNearest) {
  const ProcessResult near = Tunesmith({"recommend", "--modle=x"});
  EXPECT_EQ(near.status, 2);
  EXPECT_THAT(near.errors, HasSubstr("recommend has no flag '--modle'; did you mean '--model'"));
  const ProcessResult of_parent = Tunesmith({"jobs", "list", "--sever", "x"});
  EXPECT_THAT(of_parent.errors, HasSubstr("list has no flag '--sever'; did you mean '--server'"));
  const ProcessResult far = Tunesmith({"gpus", "--xyzzyplugh"});
  EXPECT_EQ(far.status, 2);
  EXPECT_THAT(far.errors, HasSubstr("gpus has no flag '--xyzzyplugh'\n"));
}

TEST(CliTest, BadInputsNameTheThing) {
  const struct {
    std::vector<std::string> arguments;
    int status;
    const char* says;
  } cases[] = {
      {{"recommend", "--offline", "--model", "smollm2-135", "--context", "8"}, 7, "SmolLM2-135M"},
      {{"recommend", "--offline", "--model", "7B", "--context", "8", "--gpus", "A100"},
       7,
       "A100-80GB"},
      {{"recommend", "--offline", "--model", "7B", "--context", "0"}, 2, "--context"},
      {{"recommend", "--offline", "--model", "7B", "--context", "-4"}, 2, "--context"},
      {{"recommend", "--offline", "--model", "7B"}, 2, "--context"},
      {{"recommend", "--offline", "--context", "8"}, 2, "--model"},
      {{"recommend", "--offline", "--model", "SmolLM2-135M", "--context", "999999"}, 2, "8192"},
      {{"recommend", "--offline", "--model", "/absent", "--context", "8"}, 7, "/absent"},
      {{"recommend", "--offline", "--model", "/absent.gguf", "--context", "8"}, 7, "/absent.gguf"},
      {{"recommend", "--offline", "--model", "7B", "--context", "8", "--memory-budget", "many"},
       2,
       "many"},
      {{"recommend", "--offline", "--model", "7B", "--context", "8", "--dataset", "/absent.jsonl"},
       7,
       "/absent.jsonl"},
      {{"recommend", "--offline", "--model", "7B", "--context", "8", "--calibration",
        "/absent.json"},
       7,
       "/absent.json"},
      {{"recommend", "--method", "magic"}, 2, "magic"},
      {{"recommend", "-o", "xml"}, 2, "xml"},
      {{"frobnicate"}, 2, "there is no command 'frobnicate'"},
      {{"recomend"}, 2, "recommend"},
      {{"jobs", "frobnicate"}, 2, "there is no command 'frobnicate'"},
      {{"recommend", "--offline", "--model", "7B", "--context", "8", "--recompute", "some"},
       2,
       "\"some\" is not one of keep, activation"},
      {{"recommend", "--offline", "--model", "SmolLM2-135M", "--context", "8", "--micro-batch",
        "3"},
       2,
       "micro_batch(3) does not divide rows per step(16) / devices(1) = 16"},
      {{"recommend", "--model", "7B", "--context", "8", "--batch", "-1"},
       2,
       "\"-1\" is not a number above 0"},
      {{}, 2, "subcommand"},
  };
  for (const auto& bad : cases) {
    const ProcessResult result = Tunesmith(bad.arguments);
    EXPECT_EQ(result.status, bad.status) << result.errors;
    EXPECT_THAT(result.errors, HasSubstr(bad.says));
    EXPECT_THAT(result.output, IsEmpty());
  }
}

TEST(CliTest, NoServerIsStatus6) {
  const ProcessResult result = Tunesmith({"gpus", "--server", "127.0.0.1:1", "--timeout", "3"});
  EXPECT_EQ(result.status, 6);
  EXPECT_THAT(result.errors, HasSubstr("127.0.0.1:1"));
}

TEST(CliTest, CatalogsAndVersionParse) {
  EXPECT_GT(Json(Tunesmith({"models", "--offline", "-o", "json"}))["models"].size(), 5u);
  EXPECT_GT(Json(Tunesmith({"gpus", "--offline", "-o", "json"}))["gpus"].size(), 10u);
  EXPECT_TRUE(Json(Tunesmith({"version", "-o", "json"})).contains("version"));
  EXPECT_EQ(Tunesmith({"--help"}).status, 0);
}

TEST(CliTest, AddsModelsAndDevicesToTheServersCatalog) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data");
  scratch.File("config.json",
               planner::ConfigJsonFromModelSpec(*planner::FindModel("SmolLM2-135M")));
  const ProcessResult made = Tunesmith({"--server", server.address(), "models", "create", "tiny",
                                        "--from", scratch.path(), "--request-id", "m"});
  EXPECT_EQ(made.status, 0) << made.errors;
  const ProcessResult got = Tunesmith({"--server", server.address(), "models", "get", "TINY"});
  EXPECT_THAT(got.output, HasSubstr("tiny")) << got.errors;
  EXPECT_THAT(Tunesmith({"--server", server.address(), "models"}).output, HasSubstr("tiny"));
  const std::string gpu = Tunesmith({"gpus", "get", "A100-80GB", "-o", "json", "--offline"}).output;
  EXPECT_EQ(Tunesmith({"--server", server.address(), "gpus", "create", "A100-ours", "--from",
                       scratch.File("gpu.json", gpu)})
                .status,
            0);
  const ProcessResult asked =
      Tunesmith({"--server", server.address(), "recommend", "--model", "tiny", "--gpus",
                 "2xA100-ours", "--context", "128", "--batch", "4"});
  EXPECT_EQ(asked.status, 0) << asked.errors;
  EXPECT_EQ(Tunesmith({"--offline", "models", "create", "tiny", "--from", scratch.path()}).status,
            1);
  EXPECT_EQ(Tunesmith({"--offline", "models", "get", "no-such-model"}).status, 7);
}

TEST(CliTest, EvaluateAndConvertBecomeTheTrainerWithTheSameArguments) {
  const ScratchDirectory scratch;
  std::filesystem::create_symlink(server::FakeTrainerPath(), scratch.path() + "/tunesmith-trainer");
  const ProcessResult result = Tunesmith(
      {"evaluate", "--model", "m", "--dataset", "d.jsonl", "--context", "8", "-o", "json"},
      {{"TUNESMITH_BIN_DIR", scratch.path()}});
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_EQ(Json(result)["arguments"], "--model m --dataset d.jsonl --context 8 --output json ");
  const ProcessResult converted = Tunesmith({"convert", "--model", "m.gguf", "--output", "d"},
                                            {{"TUNESMITH_BIN_DIR", scratch.path()}});
  EXPECT_EQ(Json(converted)["arguments"], "--model m.gguf --output d ");
  const ProcessResult unknown = Tunesmith({"convert", "--model", "m", "--ouput", "d"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.errors, HasSubstr("--output"));
  const ProcessResult absent =
      Tunesmith({"convert", "--model", "m", "--output", "d"}, {{"TUNESMITH_BIN_DIR", "/absent"}});
  EXPECT_EQ(absent.status, 7);
  EXPECT_THAT(absent.errors, HasSubstr("TUNESMITH_BIN_DIR"));
}

}  // namespace
}  // namespace tunesmith::client
