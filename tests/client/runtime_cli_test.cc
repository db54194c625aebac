#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/file.h"
#include "nlohmann/json.hpp"
#include "tests/client/command.h"

// recommend --runtime: exit statuses, output and the files that it writes; by the linked planner and by a server.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ProcessResult Recommend(std::vector<std::string> more, const std::string& server = "") {
  std::vector<std::string> arguments;
  if (server.empty()) arguments.emplace_back("--offline");
  for (const char* argument :
       {"recommend", "--model", "Llama-2-7b-hf", "--context", "2048", "--batch", "64"})
    arguments.emplace_back(argument);
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Tunesmith(arguments, {{"TUNESMITH_SERVER", server}});
}

const std::vector<std::string> kStudy = {"--runtime", "deepspeed", "--gpus",      "8xA100-80GB",
                                         "--method",  "full,lora", "--objective", "balanced"};

std::vector<std::string> Study(std::vector<std::string> more) {
  more.insert(more.begin(), kStudy.begin(), kStudy.end());
  return more;
}

TEST(RuntimeCliTest, PrintsTheRankingWithIntervals) {
  const ProcessResult result = Recommend(kStudy);
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.errors, IsEmpty());
  for (const char* text :
       {"* chosen: the least memory among", "method=lora:r16 zero_stage=2", "at the optimizer step",
        "reserved", "90 % interval", "published measurements"}) {
    EXPECT_THAT(result.output, HasSubstr(text));
  }
}

TEST(RuntimeCliTest, ServerAndLinkedPlannerSayTheSame) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data");
  const ProcessResult linked = Recommend(Study({"-o", "json"}));
  const ProcessResult served = Recommend(Study({"-o", "json"}), server.address());
  EXPECT_EQ(served.status, 0) << served.errors;
  EXPECT_EQ(served.output, linked.output);
  const nlohmann::json answer = Json(served)["runtime_answer"];
  EXPECT_EQ(answer["ranked"][0]["mix"]["tuning"], "RUNTIME_TUNING_LORA");
  EXPECT_EQ(answer["ranked"][0]["mix"]["zero_stage"], "2");
  EXPECT_EQ(answer["ranked"].size(), 8u);
}

TEST(RuntimeCliTest, ExportWritesTheFilesOfTheChoice) {
  const ScratchDirectory scratch;
  const std::string directory = scratch.path() + "/config";
  const ProcessResult result = Recommend(Study({"--export", directory}));
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("files written to"));
  const auto json = nlohmann::json::parse(ReadFile(directory + "/deepspeed.json").value());
  EXPECT_EQ(json["zero_optimization"]["stage"], 2);
  EXPECT_THAT(ReadFile(directory + "/train.py").value(), HasSubstr("LoraConfig("));
}

TEST(RuntimeCliTest, PinsAreObeyed) {
  const ProcessResult result = Recommend(
      {"--runtime", "fsdp", "--gpus", "8xA100-80GB", "--method", "qlora", "--zero-stage", "3",
       "--offload", "all", "--checkpointing", "on", "--micro-batch", "2", "-o", "json"});
  EXPECT_EQ(result.status, 0) << result.errors;
  const nlohmann::json mix = Json(result)["runtime_answer"]["ranked"][0]["mix"];
  EXPECT_EQ(mix["kind"], "RUNTIME_KIND_FSDP");
  EXPECT_EQ(mix["tuning"], "RUNTIME_TUNING_QLORA");
  EXPECT_EQ(mix["offload"], "RUNTIME_OFFLOAD_ALL");
  EXPECT_EQ(mix["checkpointing"], "RUNTIME_CHECKPOINTING_ON");
  EXPECT_EQ(mix["micro_batch"], "2");
}

TEST(RuntimeCliTest, ModelsThatOnlyOtherRuntimesHaveAndNothingFits) {
  const ProcessResult result =
      Tunesmith({"--offline", "recommend", "--runtime", "hf", "--model", "falcon-180B", "--gpus",
                 "T4", "--context", "512", "--batch", "4", "--method", "qlora"});
  EXPECT_EQ(result.status, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("nothing fits"));
  EXPECT_THAT(result.output, HasSubstr("T4 has no bf16"));
}

TEST(RuntimeCliTest, VersionsOutsideTheKnownRangeAreFlagged) {
  const ProcessResult result = Recommend(Study({"--transformers", "5.24.0", "--torch", "2.15.0"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output,
              HasSubstr("transformers 5.24.0 is outside the known range (4.37 to 4.48)"));
}

TEST(RuntimeCliTest, WhatIsAskedOfAdaptersAndDataReachesTheFiles) {
  const ScratchDirectory scratch;
  const std::string directory = scratch.path() + "/config";
  const ProcessResult result =
      Recommend({"--runtime", "hf", "--gpus", "A100-80GB", "--method", "qlora", "--lora-dropout",
                 "0.1", "--lora-rank-stabilized", "--single-quantization", "--epochs", "2",
                 "--dataset-tokens", "10000000", "--export", directory});
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("note: the data set takes "));
  const std::string script = ReadFile(directory + "/train.py").value();
  for (const char* text : {"lora_dropout=0.1,", "use_rslora=True,", "num_train_epochs=2,",
                           "bnb_4bit_use_double_quant=False,"})
    EXPECT_THAT(script, HasSubstr(text));
}

TEST(RuntimeCliTest, AnyMethodHasQlora) {
  const ProcessResult result = Recommend(
      {"--runtime", "hf", "--gpus", "A100-80GB", "--memory-budget", "9GiB", "-o", "json"});
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_EQ(Json(result)["runtime_answer"]["ranked"][0]["mix"]["tuning"], "RUNTIME_TUNING_QLORA");
}

TEST(RuntimeCliTest, WhatIsAvailableIsTheBudget) {
  const ProcessResult result =
      Recommend({"--runtime", "hf", "--gpus", "A100-80GB", "--memory-budget", "3GiB"});
  EXPECT_EQ(result.status, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("GiB per GPU, available 3.00"));
}

struct Wrong {
  std::vector<std::string> arguments;
  const char* message;
};
class WrongRuntimeTest : public ::testing::TestWithParam<Wrong> {};
TEST_P(WrongRuntimeTest, SaysWhatIsWrongAndTheCure) {
  const ProcessResult result = Recommend(GetParam().arguments);
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr(GetParam().message));
}
INSTANTIATE_TEST_SUITE_P(
    All, WrongRuntimeTest,
    ::testing::Values(
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--plan-out", "plan.json"},
              "--export writes"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--optimizer", "sgd"}, "nearest: adamw"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--recompute", "block"},
              "nearest: question.runtime.checkpointing"},
        Wrong{{"--runtime", "deepspeed", "--gpus", "8xA100-80GB", "--optimizer-state", "int8"},
              "keeps AdamW's moments in fp32"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--pinned-memory", "8GiB"},
              "nearest: question.host_memory_budget_bytes"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--loss-tokens-per-row", "64"},
              "nearest: the head on all tokens"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--documents-per-row", "4"},
              "--documents-per-row is for the bundled trainer"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--memory-budget", "100GiB"},
              "is 100.00 GiB, and A100-80GB has"},
        Wrong{{"--gpus", "A100-80GB", "--memory-budget", "100GiB"},
              "is 100.00 GiB, and A100-80GB has"},
        Wrong{{"--runtime", "hf"}, "planned for GPUs, not for cpu"},
        Wrong{{"--runtime", "jax", "--gpus", "A100-80GB"}, "jax"},
        Wrong{{"--checkpointing", "on", "--gpus", "A100-80GB"},
              "name one by --runtime hf, deepspeed, fsdp"},
        Wrong{{"--zero-stage", "2", "--gpus", "A100-80GB"},
              "ask for several devices, such as 2xA100-80GB"},
        Wrong{{"--runtime", "fsdp", "--gpus", "8xA100-80GB", "--sequence-parallel", "2"},
              "sequence_parallel: is not an axis of other runtimes; nearest: 1"},
        Wrong{{"--gpus", "6xA100-80GB", "--sequence-parallel", "4"},
              "devices(6) % sequence_parallel(4) must be 0"},
        Wrong{{"--offload", "all", "--gpus", "2xA100-80GB", "--zero-stage", "1"},
              "needs a pinned zero_stage(1) of at least 3"},
        Wrong{{"--method", "full,lora", "--gpus", "A100-80GB"},
              "--method full,lora: a list is for other runtimes"},
        Wrong{{"--method", "full,magic", "--gpus", "A100-80GB"}, "magic is not one of"},
        Wrong{{"--runtime", "hf", "--gpus", "V100-32GB", "--attention", "flash"},
              "FlashAttention-2 needs sm_80"},
        Wrong{{"--runtime", "fsdp", "--gpus", "8xA100-80GB", "--zero-stage", "1"},
              "nearest: zero_stage=2"},
        Wrong{{"--runtime", "hf", "--gpus", "A100-80GB", "--torch", "latest"},
              "is not a version of torch"},
        Wrong{{"--runtime", "deepspeed", "--gpus", "3xA100-80GB"},
              "rows per step(64) % GPUs(3) != 0"}));

}  // namespace
}  // namespace tunesmith::client
