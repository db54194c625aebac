#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "client/client.h"
#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/model_spec.h"
#include "tests/server/server_process.h"

// The command as users have it: exit statuses, what goes to stdout and what to stderr.
namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::ProcessResult;
using server::RunProcess;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ProcessResult Tunesmith(std::vector<std::string> arguments,
                        const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), BinaryPath("tunesmith"));
  return RunProcess(arguments, environment);
}

nlohmann::json Json(const ProcessResult& result) {
  const auto json = nlohmann::json::parse(result.output, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.output << result.errors;
  return json;
}

std::vector<std::string> Question(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"recommend", "--offline", "--model", "SmolLM2-135M",
                                        "--context", "256",       "--gpus",  "A100-80GB",
                                        "--batch",   "8"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(CliTest, RecommendPrintsATableWithTheChosenMixMarked) {
  const ProcessResult result = Tunesmith(Question({"--dataset-tokens", "1000000"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  for (const char* text :
       {"* chosen:", "memory per device", "weights", "tokens/s", "method=", "data set:"}) {
    EXPECT_THAT(result.output, HasSubstr(text));
  }
  EXPECT_THAT(result.errors, IsEmpty());
}

TEST(CliTest, JsonIsTheAnswerAloneWithBytes) {
  const ProcessResult result = Tunesmith(Question({"-o", "json"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  const nlohmann::json json = Json(result);
  EXPECT_GT(std::stoll(json["ranked"][0]["prediction"]["memory"]["arena_bytes"].get<std::string>()),
            0);
  EXPECT_EQ(json["plan"]["program_digest"], json["ranked"][0]["program_digest"]);
}

TEST(CliTest, EstimateOfARecommendedMixAgrees) {
  const nlohmann::json ranked = Json(Tunesmith(Question({"-o", "json"})))["ranked"][0];
  std::vector<std::string> arguments =
      Question({"-o", "json", "--mix", ranked["mix_line"].get<std::string>()});
  arguments[0] = "estimate";
  const ProcessResult result = Tunesmith(arguments);
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_EQ(Json(result)["estimate"]["prediction"]["memory"], ranked["prediction"]["memory"]);
  arguments.back() = "method=nonsense";
  EXPECT_EQ(Tunesmith(arguments).status, 2);
}

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

TEST(CliTest, NothingFitsIsStatus3WithTheAmountMissing) {
  const ProcessResult result = Tunesmith(Question({"--memory-budget", "100MiB"}));
  EXPECT_EQ(result.status, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("missing"));
}

TEST(CliTest, WhatWouldMakeItFitIsPrintedUnasked) {
  const ProcessResult result =
      Tunesmith({"recommend", "--offline", "--model", "Llama-3.1-8B", "--context", "8192", "--gpus",
                 "A100-80GB", "--batch", "8", "--method", "full"});
  EXPECT_EQ(result.status, 3) << result.errors;
  for (const char* text :
       {"any one of these makes it fit:", "more memory per device", "instead of A100-80GB",
        "LoRA of rank 16 instead of full fine-tuning, which changes what is learned"}) {
    EXPECT_THAT(result.output, HasSubstr(text));
  }
  EXPECT_THAT(result.errors, IsEmpty());
}

TEST(CliTest, ExplainTellsWhatEveryOtherValueWouldCost) {
  const ProcessResult plain = Tunesmith(Question());
  const ProcessResult result = Tunesmith(Question({"--explain"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  for (const char* text : {"The arena's size", "optimizer step", "not chosen", "micro_batch",
                           "With attention eager the best mix is", "slower per step",
                           "it does not learn the same thing"}) {
    EXPECT_THAT(result.output, HasSubstr(text));
    EXPECT_THAT(plain.output, Not(HasSubstr("not chosen")));
  }
  const nlohmann::json json = Json(Tunesmith(Question({"--explain", "-o", "json"})));
  EXPECT_EQ(json["explanation"]["instants"][0]["arena_bytes"],
            json["ranked"][0]["prediction"]["memory"]["arena_bytes"]);
  EXPECT_GE(json["explanation"]["alternatives"].size(), 5u);
}

TEST(CliTest, PinnedAxesAreKept) {
  const ProcessResult result =
      Tunesmith(Question({"--attention", "eager", "--loss-kernel", "full", "--micro-batch", "4",
                          "--recompute", "norms,block", "-o", "json"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  const nlohmann::json json = Json(result);
  for (const nlohmann::json& ranked : json["ranked"]) {
    const nlohmann::json& mix = ranked["mix"];
    EXPECT_EQ(mix["attention"], "ATTENTION_KERNEL_EAGER");
    EXPECT_EQ(mix["loss"], "LOSS_KERNEL_FULL");
    EXPECT_EQ(mix["micro_batch"], "4");
    for (const char* rung : {"keep", "activation", "gate_up"})
      EXPECT_EQ(mix["recompute"][rung], "0");
  }
  EXPECT_EQ(json["plan"]["inputs"]["pinned"]["rungs"].size(), 2u);
}

TEST(CliTest, TheDataSetsTokensAreEstimatedAndThatIsSaid) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("d.jsonl", std::string(4000, 'x'));
  const ProcessResult result = Tunesmith(Question({"--dataset", path}));
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("bytes / 4 = 1000"));
}

TEST(CliTest, ALossOnCompletionsIsPlannedAndCostsLess) {
  const ScratchDirectory scratch;
  std::string text;
  for (int i = 0; i < 500; ++i)
    text += "{\"prompt\": \"" + std::string(300, 'x') + "\", \"completion\": \"yes\"}\n";
  const std::string path = scratch.File("d.jsonl", text);
  const ProcessResult all = Tunesmith(Question({"--dataset", path, "-o", "json"})),
                      some = Tunesmith(
                          Question({"--dataset", path, "--loss", "completion", "-o", "json"}));
  ASSERT_EQ(all.status, 0) << all.errors;
  ASSERT_EQ(some.status, 0) << some.errors;
  EXPECT_THAT(some.errors, HasSubstr("the output head is computed for"));
  EXPECT_THAT(all.output, HasSubstr("Packing is expected to fill"));
  EXPECT_THAT(all.output, Not(HasSubstr("Hours assume")));
  const auto step = [](const ProcessResult& result) {
    return Json(result)["ranked"][0]["prediction"]["time"]["step_seconds"].get<double>();
  };
  EXPECT_LT(step(some), step(all));
  const ProcessResult beyond = Tunesmith(Question({"--loss-tokens-per-row", "100000"}));
  EXPECT_EQ(beyond.status, 2);
  EXPECT_THAT(beyond.errors, HasSubstr("loss_token_capacity is 100000"));
}

TEST(CliTest, AModelDirectoryIsReadHere) {
  const ScratchDirectory scratch;
  scratch.File("config.json",
               planner::ConfigJsonFromModelSpec(*planner::FindModel("SmolLM2-135M")));
  std::vector<std::string> arguments = Question({"-o", "json"});
  arguments[3] = scratch.path();
  const ProcessResult result = Tunesmith(arguments);
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_EQ(Json(result)["inputs"]["model"]["layer_count"], "30");
  scratch.File("config.json", "{\"model_type\": \"llama\"}");
  const ProcessResult bad = Tunesmith(arguments);
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.errors, HasSubstr("config.json"));
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

class CliJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = scratch_.path() + "/model";
    std::filesystem::create_directory(model_);
    std::ofstream(model_ + "/config.json")
        << planner::ConfigJsonFromModelSpec(*planner::FindModel("SmolLM2-135M"));
    dataset_ = scratch_.File("d.jsonl", "{\"text\": \"hello\"}\n");
  }

  std::vector<std::string> Launch(std::vector<std::string> more,
                                  const std::string& steps = "4") const {
    std::vector<std::string> arguments = {"launch", "--model",   model_, "--dataset",
                                          dataset_, "--context", "64",   "--batch",
                                          "2",      "--steps",   steps};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  ProcessResult Ask(const ServerProcess& server, const std::vector<std::string>& arguments) const {
    return Tunesmith(arguments, {{"TUNESMITH_SERVER", server.address()}});
  }

  ScratchDirectory scratch_;
  std::string model_;
  std::string dataset_;
};

TEST_F(CliJobsTest, LaunchWatchesAJobToItsEnd) {
  ServerProcess server(scratch_.path() + "/data");
  const ProcessResult result = Ask(server, Launch({"--watch", "--learning-rate", "1e-3"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("SUCCEEDED"));
  EXPECT_THAT(result.errors, HasSubstr("4/4"));
  const nlohmann::json job = Json(Ask(server, {"jobs", "get", "1", "-o", "json"}));
  EXPECT_EQ(job["state"], "JOB_STATE_SUCCEEDED");
  EXPECT_EQ(job["spec"]["training"]["learning_rate"], 1e-3);
  EXPECT_EQ(Json(Ask(server, {"jobs", "list", "-o", "json"}))["jobs"].size(), 1u);
  EXPECT_THAT(Ask(server, {"jobs", "list"}).output, HasSubstr("jobs/job-1"));
}

TEST_F(CliJobsTest, WhenToStopAndWhatToKeepBecomesTheJobs) {
  ServerProcess server(scratch_.path() + "/data");
  const ProcessResult launched =
      Ask(server, Launch({"--eval-share", "0.5", "--eval-every", "2", "--keep-best", "--patience",
                          "3", "--least-improvement", "0.01", "--keep-checkpoints", "4",
                          "--fail-on-spike", "2.5", "--schedule", "linear", "--warmup", "2"}));
  ASSERT_EQ(launched.status, 0) << launched.errors;
  const nlohmann::json spec = Json(Ask(server, {"jobs", "get", "1", "-o", "json"}))["spec"];
  EXPECT_EQ(spec["keep_best"], true);
  EXPECT_EQ(spec["patience_evaluation_count"], "3");
  EXPECT_EQ(spec["least_improvement"], 0.01);
  EXPECT_EQ(spec["kept_checkpoint_count"], "4");
  EXPECT_EQ(spec["most_loss_spike"], 2.5);
  EXPECT_EQ(spec["training"]["schedule"], "SCHEDULE_LINEAR");
}

TEST_F(CliJobsTest, WhatEvaluationsDecideIsRefusedWithoutThem) {
  const auto errors = [&](const std::vector<std::string>& more) {
    const ProcessResult result = Tunesmith(Launch(more));
    EXPECT_EQ(result.status, 2) << result.errors;
    return result.errors;
  };
  EXPECT_THAT(errors({"--keep-best"}), HasSubstr("--keep-best needs held-out data; give --eval"));
  EXPECT_THAT(errors({"--eval-every", "2", "--patience", "3"}),
              HasSubstr("--patience needs held-out data"));
  EXPECT_THAT(errors({"--patience", "3"}), HasSubstr("--eval-every"));
  EXPECT_THAT(errors({"--least-improvement", "0.1"}), HasSubstr("--patience"));
  EXPECT_THAT(errors({"--fail-on-spike", "0.5"}), HasSubstr("--fail-on-spike"));
  EXPECT_THAT(errors({"--keep-checkpoints", "0"}), HasSubstr("--keep-checkpoints"));
}

TEST_F(CliJobsTest, MergingIsForAdapters) {
  ServerProcess server(scratch_.path() + "/data");
  const ProcessResult full = Ask(server, Launch({"--method", "full", "--merge"}));
  EXPECT_EQ(full.status, 2);
  EXPECT_THAT(full.errors, HasSubstr("--merge adds an adapter to its model, and full"));
  EXPECT_EQ(Ask(server, Launch({"--method", "lora", "--merge"})).status, 0);
  EXPECT_EQ(Json(Ask(server, {"jobs", "get", "1", "-o", "json"}))["spec"]["merge_output"], true);
}

TEST_F(CliJobsTest, AWatchedJobThatFailsIsStatus5AndCanBeResumed) {
  ServerProcess server(scratch_.path() + "/data", {{"FAKE_CRASH_AT_STEP", "2"}});
  const ProcessResult launched = Ask(server, Launch({"--watch", "-o", "json"}));
  EXPECT_EQ(launched.status, 5) << launched.errors;
  EXPECT_THAT(launched.errors, HasSubstr("SIGKILL"));
  std::istringstream lines(launched.output);
  for (std::string line; std::getline(lines, line);)
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  EXPECT_EQ(Ask(server, {"jobs", "resume", "job-1"}).status, 0);
  EXPECT_EQ(Ask(server, {"jobs", "watch", "jobs/job-1"}).status, 0);
  EXPECT_EQ(Ask(server, {"jobs", "resume", "1"}).status, 1) << "a job that succeeded";
  EXPECT_EQ(Ask(server, {"jobs", "get", "99"}).status, 7);
  EXPECT_EQ(Ask(server, {"jobs", "get", "no such"}).status, 2);
}

TEST_F(CliJobsTest, WatchGoesOnWhenTheServerIsKilledAndComesBack) {
  const std::string data = scratch_.path() + "/data";
  auto server = std::make_unique<ServerProcess>(
      data, std::map<std::string, std::string>{{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string address = server->address();
  ASSERT_EQ(Ask(*server, Launch({}, "80")).status, 0);
  std::vector<int64_t> sequences;
  bool killed = false;
  const auto jobs = MakeJobClient({.server = address});
  const auto job = jobs->Watch(
      "jobs/job-1", 0,
      [&](const v1::WatchJobResponse& update) {
        if (update.has_event()) sequences.push_back(update.event().sequence());
        if (sequences.size() < 20 || killed) return;
        killed = true;
        server->Kill();
        server = std::make_unique<ServerProcess>(data, std::map<std::string, std::string>{},
                                                 std::vector<std::string>{}, address);
      },
      [] { return false; });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED);
  ASSERT_EQ(static_cast<int64_t>(sequences.size()), job->last_sequence());
  for (size_t i = 0; i < sequences.size(); ++i)
    EXPECT_EQ(sequences[i], static_cast<int64_t>(i) + 1);
}

TEST_F(CliJobsTest, LaunchTakesAPlanFileAndTellsWhatDevicesAreMissing) {
  ServerProcess server(scratch_.path() + "/data");
  const std::string plan = scratch_.path() + "/plan.json";
  ASSERT_EQ(Tunesmith({"recommend", "--offline", "--model", model_, "--context", "64", "--gpus",
                       "cpu", "--batch", "2", "--plan-out", plan})
                .status,
            0);
  const ProcessResult launched = Ask(
      server, {"launch", "--plan", plan, "--model", model_, "--dataset", dataset_, "--steps", "2"});
  EXPECT_EQ(launched.status, 0) << launched.errors;
  EXPECT_EQ(launched.output, "jobs/job-1\n");
  const ProcessResult several = Ask(server, Launch({"--gpus", "2xA100-80GB"}));
  EXPECT_EQ(several.status, 1);
  EXPECT_THAT(several.errors,
              HasSubstr("the job wants 2 GPUs from cuda:0 on, and this host has 0"));
  std::vector<std::string> no_files = Launch({});
  no_files[2] = "SmolLM2-135M";
  EXPECT_EQ(Ask(server, no_files).status, 7);
}

// What `launch` needs beside a plan: files that exist. The trainer is a stand-in.
std::vector<std::string> Launch(const ServerProcess& server, const ScratchDirectory& scratch,
                                std::vector<std::string> more) {
  scratch.File("config.json", R"({"model_type":"llama","hidden_size":64,"intermediate_size":128,
      "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":4,"vocab_size":256,
      "max_position_embeddings":256,"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu",
      "tie_word_embeddings":true})");
  std::vector<std::string> arguments = {"--server",
                                        server.address(),
                                        "launch",
                                        "--model",
                                        scratch.path(),
                                        "--gpus",
                                        "cpu",
                                        "--context",
                                        "128",
                                        "--batch",
                                        "4",
                                        "--dataset",
                                        scratch.File("train.jsonl", "{\"text\":\"a\"}\n"),
                                        "--steps",
                                        "3"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(CliTest, ValidatesLaunchesOnceAndShowsTheLog) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data");
  const ProcessResult checked = Tunesmith(Launch(server, scratch, {"--validate-only"}));
  EXPECT_EQ(checked.status, 0) << checked.errors;
  EXPECT_THAT(checked.output, HasSubstr("Nothing was submitted"));
  EXPECT_THAT(checked.output, HasSubstr("tunesmith-shim --run-dir"));
  for (int i = 0; i < 2; ++i) {
    const ProcessResult launched = Tunesmith(Launch(server, scratch, {"--request-id", "once"}));
    EXPECT_EQ(launched.output, "jobs/job-1\n") << launched.errors;
  }
  const ProcessResult log = Tunesmith({"--server", server.address(), "jobs", "logs", "-f", "1"});
  EXPECT_EQ(log.status, 0) << log.errors;
  EXPECT_EQ(log.output, "step 1\nstep 2\nstep 3\n");
  const ProcessResult listed = Tunesmith({"--server", server.address(), "jobs", "list", "--filter",
                                          "state = SUCCEEDED", "-o", "json"});
  EXPECT_EQ(Json(listed)["jobs"].size(), 1u) << listed.errors;
  EXPECT_EQ(Json(listed)["jobs"][0]["cause"], "END_CAUSE_COMPLETED");
  EXPECT_EQ(
      Tunesmith({"--server", server.address(), "jobs", "list", "--filter", "nonsense"}).status, 2);
  EXPECT_THAT(Tunesmith({"--server", server.address(), "clusters"}).output,
              HasSubstr("clusters/host"));
  const ProcessResult reported =
      Tunesmith({"--server", server.address(), "measurements", "report", "--job", "1",
                 "--step-seconds", "0.5", "--peak-device-memory", "2GiB", "--source", "a hook"});
  EXPECT_EQ(reported.status, 0) << reported.errors;
  const ProcessResult measured =
      Tunesmith({"--server", server.address(), "measurements", "--of", "job-1"});
  EXPECT_THAT(measured.output, HasSubstr("a hook")) << measured.errors;
  EXPECT_THAT(measured.output, HasSubstr("500.0 ms of"));
}

TEST(CliTest, AddsModelsAndDevicesToTheServersCatalog) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data");
  Launch(server, scratch, {});  // writes config.json
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

// A step of the chosen mix really runs; the answer's JSON stays what it was.
TEST(CliTest, ProbesTheChosenMixOnThisHost) {
  const std::vector<std::string> ask = {"recommend", "--offline", "--model", "5M",
                                        "--context", "32",        "--batch", "2"};
  auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = ask;
    all.insert(all.end(), more.begin(), more.end());
    return Tunesmith(all);
  };
  const ProcessResult table = with({"--gpus", "cpu", "--probe"});
  EXPECT_EQ(table.status, 0) << table.errors;
  EXPECT_THAT(table.output, HasSubstr("probe: a step of the chosen mix took"));
  const ProcessResult json = with({"--gpus", "cpu", "--probe", "-o", "json"});
  EXPECT_TRUE(nlohmann::json::accept(json.output));
  EXPECT_THAT(json.errors, HasSubstr("probe: a step"));
  const ProcessResult ranks = with({"--gpus", "2xcpu", "--probe"});
  EXPECT_EQ(ranks.status, 1);
  EXPECT_THAT(ranks.errors, HasSubstr("this plan has several"));
}

}  // namespace
}  // namespace tunesmith::client
