#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/model_spec.h"
#include "tests/client/command.h"

// recommend and estimate by the linked planner: exit statuses, what goes to stdout and what to stderr.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ScratchDirectory;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> Question(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"recommend", "--offline", "--model", "SmolLM2-135M",
                                        "--context", "256",       "--gpus",  "A100-80GB",
                                        "--batch",   "8"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(RecommendCliTest, RecommendPrintsATableWithTheChosenMixMarked) {
  const ProcessResult result = Tunesmith(Question({"--dataset-tokens", "1000000"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  for (const char* text :
       {"* chosen:", "memory per device", "weights", "tokens/s", "method=", "data set:"}) {
    EXPECT_THAT(result.output, HasSubstr(text));
  }
  EXPECT_THAT(result.errors, IsEmpty());
}

TEST(RecommendCliTest, JsonIsTheAnswerAloneWithBytes) {
  const ProcessResult result = Tunesmith(Question({"-o", "json"}));
  EXPECT_EQ(result.status, 0) << result.errors;
  const nlohmann::json json = Json(result);
  EXPECT_GT(std::stoll(json["ranked"][0]["prediction"]["memory"]["arena_bytes"].get<std::string>()),
            0);
  EXPECT_EQ(json["plan"]["program_digest"], json["ranked"][0]["program_digest"]);
}

TEST(RecommendCliTest, EstimateOfARecommendedMixAgrees) {
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

TEST(RecommendCliTest, NothingFitsIsStatus3WithTheAmountMissing) {
  const ProcessResult result = Tunesmith(Question({"--memory-budget", "100MiB"}));
  EXPECT_EQ(result.status, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("missing"));
}

// A process takes more of the host than that, whatever the mix.
TEST(RecommendCliTest, AHostThatIsTooSmallIsToldByItsAmounts) {
  const ProcessResult result = Tunesmith(Question({"--host-memory", "1GiB"}));
  EXPECT_EQ(result.status, 3) << result.errors;
  for (const char* text :
       {"GiB of host memory per device, available 1.00, missing 0.",
        "mixes, host memory (the smallest needs", "more of host memory per device", "host, in all"})
    EXPECT_THAT(result.output, HasSubstr(text));
  EXPECT_THAT(result.output, Not(HasSubstr("missing -")));
  const nlohmann::json ranked = Json(Tunesmith(Question({"-o", "json"})))["ranked"][0];
  std::vector<std::string> arguments =
      Question({"--host-memory", "1GiB", "--mix", ranked["mix_line"].get<std::string>()});
  arguments[0] = "estimate";
  const ProcessResult estimate = Tunesmith(arguments);
  EXPECT_EQ(estimate.status, 3) << estimate.errors;
  EXPECT_THAT(estimate.output, HasSubstr(" GiB of host memory per device\n"));
}

TEST(RecommendCliTest, GenerationIsPlannedWhereItIsAskedFor) {
  const auto instants = [](std::vector<std::string> more) {
    more.insert(more.end(), {"-o", "json"});
    std::set<std::string> names;
    const nlohmann::json json = Json(Tunesmith(Question(more)));
    for (const nlohmann::json& instant : json["ranked"][0]["prediction"]["memory"]["instants"])
      names.insert(instant["instant"]);
    return names;
  };
  EXPECT_FALSE(instants({}).contains("generate"));
  EXPECT_TRUE(instants({"--generate"}).contains("generate"));
}

TEST(RecommendCliTest, WhatWouldMakeItFitIsPrintedUnasked) {
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

TEST(RecommendCliTest, ExplainTellsWhatEveryOtherValueWouldCost) {
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

TEST(RecommendCliTest, PinnedAxesAreKept) {
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

TEST(RecommendCliTest, TheDataSetsTokensAreEstimatedAndThatIsSaid) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("d.jsonl", std::string(4000, 'x'));
  const ProcessResult result = Tunesmith(Question({"--dataset", path}));
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("bytes / 4 = 1000"));
}

TEST(RecommendCliTest, ALossOnCompletionsIsPlannedAndCostsLess) {
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

TEST(RecommendCliTest, AModelDirectoryIsReadHere) {
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

// A step of the chosen mix really runs; the answer's JSON stays what it was.
TEST(RecommendCliTest, ProbesTheChosenMixOnThisHost) {
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
