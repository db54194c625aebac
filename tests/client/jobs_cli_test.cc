#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "client/client.h"
#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/model_spec.h"
#include "tests/client/command.h"

// launch and jobs on a server whose trainer is a stand-in.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::HasSubstr;

class JobsCliTest : public ::testing::Test {
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

TEST_F(JobsCliTest, LaunchWatchesAJobToItsEnd) {
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

TEST_F(JobsCliTest, WhenToStopAndWhatToKeepBecomesTheJobs) {
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

TEST_F(JobsCliTest, WhatEvaluationsDecideIsRefusedWithoutThem) {
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

TEST_F(JobsCliTest, MergingIsForAdapters) {
  ServerProcess server(scratch_.path() + "/data");
  const ProcessResult full = Ask(server, Launch({"--method", "full", "--merge"}));
  EXPECT_EQ(full.status, 2);
  EXPECT_THAT(full.errors, HasSubstr("--merge adds an adapter to its model, and full"));
  EXPECT_EQ(Ask(server, Launch({"--method", "lora", "--merge"})).status, 0);
  EXPECT_EQ(Json(Ask(server, {"jobs", "get", "1", "-o", "json"}))["spec"]["merge_output"], true);
}

TEST_F(JobsCliTest, ValidatesLaunchesOnceAndShowsTheLog) {
  ServerProcess server(scratch_.path() + "/data");
  const ProcessResult checked = Ask(server, Launch({"--validate-only"}, "3"));
  EXPECT_EQ(checked.status, 0) << checked.errors;
  EXPECT_THAT(checked.output, HasSubstr("Nothing was submitted"));
  EXPECT_THAT(checked.output, HasSubstr("tunesmith-shim --run-dir"));
  for (int i = 0; i < 2; ++i) {
    const ProcessResult launched = Ask(server, Launch({"--request-id", "once"}, "3"));
    EXPECT_EQ(launched.output, "jobs/job-1\n") << launched.errors;
  }
  const ProcessResult log = Ask(server, {"jobs", "logs", "-f", "1"});
  EXPECT_EQ(log.status, 0) << log.errors;
  EXPECT_EQ(log.output, "step 1\nstep 2\nstep 3\n");
  const ProcessResult listed =
      Ask(server, {"jobs", "list", "--filter", "state = SUCCEEDED", "-o", "json"});
  EXPECT_EQ(Json(listed)["jobs"].size(), 1u) << listed.errors;
  EXPECT_EQ(Json(listed)["jobs"][0]["cause"], "END_CAUSE_COMPLETED");
  EXPECT_EQ(Ask(server, {"jobs", "list", "--filter", "nonsense"}).status, 2);
  EXPECT_THAT(Ask(server, {"clusters"}).output, HasSubstr("clusters/host"));
  const ProcessResult reported =
      Ask(server, {"measurements", "report", "--job", "1", "--step-seconds", "0.5",
                   "--peak-device-memory", "2GiB", "--source", "a hook"});
  EXPECT_EQ(reported.status, 0) << reported.errors;
  const ProcessResult measured = Ask(server, {"measurements", "--of", "job-1"});
  EXPECT_THAT(measured.output, HasSubstr("a hook")) << measured.errors;
  EXPECT_THAT(measured.output, HasSubstr("500.0 ms of"));
}

TEST_F(JobsCliTest, AWatchedJobThatFailsIsStatus5AndCanBeResumed) {
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

TEST_F(JobsCliTest, WatchGoesOnWhenTheServerIsKilledAndComesBack) {
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

TEST_F(JobsCliTest, LaunchTakesAPlanFileAndTellsWhatDevicesAreMissing) {
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
  const ProcessResult sampled = Ask(server, {"launch", "--plan", plan, "--model", model_,
                                             "--dataset", dataset_, "--sample-prompt", "Once"});
  EXPECT_EQ(sampled.status, 2);
  EXPECT_THAT(sampled.errors, HasSubstr("make it with recommend --generate"));
  const ProcessResult several = Ask(server, Launch({"--gpus", "2xA100-80GB"}));
  EXPECT_EQ(several.status, 1);
  EXPECT_THAT(several.errors,
              HasSubstr("the job wants 2 GPUs from cuda:0 on, and this host has 0"));
  std::vector<std::string> no_files = Launch({});
  no_files[2] = "SmolLM2-135M";
  EXPECT_EQ(Ask(server, no_files).status, 7);
}

}  // namespace
}  // namespace tunesmith::client
