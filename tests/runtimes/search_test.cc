#include "runtimes/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::runtimes {
namespace {

using planner::Objective;
using ::testing::AllOf;
using ::testing::HasSubstr;

RuntimeQuestion QuestionOf(std::string_view model, std::string_view devices,
                           Runtime runtime = Runtime::kDeepSpeed) {
  const planner::DeviceGroup group = planner::ParseDeviceGroup(devices).value();
  RuntimeQuestion question;
  question.shape = FindShape(model).value();
  question.hardware = group.hardware;
  question.gpu_count = group.device_count;
  question.runtime = runtime;
  question.context = 2048;
  question.rows_per_step = 64;
  question.ranked_count = 100'000;
  return question;
}

int64_t Needed(const RuntimeCandidate& candidate) {
  return candidate.memory.allocated.bytes + candidate.memory.context_bytes;
}

TEST(RecommendRuntimeTest, ObjectivesRankAsTheySay) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  const auto by_time = RecommendRuntime(question)->ranked;
  question.objective = Objective::kMemory;
  const auto by_memory = RecommendRuntime(question)->ranked;
  question.objective = Objective::kBalanced;
  const auto balanced = RecommendRuntime(question)->ranked;
  ASSERT_GT(by_time.size(), 10u);
  for (size_t i = 1; i < by_time.size(); ++i) {
    EXPECT_LE(by_time[i - 1].time.step_seconds, by_time[i].time.step_seconds);
    EXPECT_LE(Needed(by_memory[i - 1]), Needed(by_memory[i]));
  }
  const double limit = 1.05 * by_time[0].time.step_seconds;
  EXPECT_LE(balanced[0].time.step_seconds, limit);
  for (const RuntimeCandidate& candidate : by_time) {
    if (candidate.time.step_seconds > limit) continue;
    EXPECT_GE(Needed(candidate), Needed(balanced[0]));
  }
}

TEST(RecommendRuntimeTest, NothingFitsIsAnAnswer) {
  const RuntimeResult result =
      RecommendRuntime(QuestionOf("falcon-180B", "A100-80GB", Runtime::kHuggingFace)).value();
  EXPECT_TRUE(result.ranked.empty());
  ASSERT_TRUE(result.nearest.has_value());
  EXPECT_EQ(result.nearest->setup.method, planner::Method::kLora);
  EXPECT_GT(Needed(*result.nearest), result.nearest->setup.hardware.memory_bytes);
}

TEST(RecommendRuntimeTest, MoreMemoryNeverRejects) {
  RuntimeQuestion question = QuestionOf("Llama-2-13b-hf", "8xA100-80GB");
  int64_t before = 0;
  for (int64_t gib : {10, 20, 40, 60, 80}) {
    question.memory_budget_bytes = gib << 30;
    const int64_t now = RecommendRuntime(question)->feasible_count;
    EXPECT_GE(now, before);
    before = now;
  }
  EXPECT_GT(before, 0);
}

TEST(RecommendRuntimeTest, PinsHold) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  question.pins = {.zero_stage = 3,
                   .offload = Offload::kOptimizer,
                   .checkpointing = true,
                   .attention = Attention::kFlash,
                   .micro_batch = 2};
  const RuntimeResult result = RecommendRuntime(question).value();
  EXPECT_EQ(result.candidate_count, 2);  // full and LoRA
  for (const RuntimeCandidate& candidate : result.ranked) {
    EXPECT_EQ(candidate.setup.zero_stage, 3);
    EXPECT_EQ(candidate.setup.accumulation_count, 4);
    EXPECT_TRUE(candidate.setup.offload_optimizer);
    EXPECT_FALSE(candidate.setup.offload_parameters);
  }
}

TEST(RecommendRuntimeTest, WhatCannotBeDoneIsSaidWithTheNearest) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xV100-32GB");
  question.pins.attention = Attention::kFlash;
  EXPECT_THAT(std::string(RecommendRuntime(question).status().message()),
              AllOf(HasSubstr("FlashAttention-2 needs sm_80"),
                    HasSubstr("nearest: sdpa's memory-efficient kernel")));
  question = QuestionOf("Llama-2-7b-hf", "A100-80GB", Runtime::kHuggingFace);
  question.pins.zero_stage = 2;
  EXPECT_THAT(std::string(RecommendRuntime(question).status().message()),
              HasSubstr("nearest: runtime=deepspeed"));
  question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  question.rows_per_step = 12;
  EXPECT_THAT(std::string(RecommendRuntime(question).status().message()),
              HasSubstr("rows per step(12) % GPUs(8) != 0"));
  question.rows_per_step = 16;
  question.pins.micro_batch = 3;
  EXPECT_THAT(std::string(RecommendRuntime(question).status().message()),
              HasSubstr("rows per GPU(2) % micro_batch(3) != 0"));
  question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  question.context = 8192;
  EXPECT_THAT(std::string(RecommendRuntime(question).status().message()),
              HasSubstr("limit of 4096"));
}

// States of an adapter are small: moving them to the host saves less than predictions resolve.
TEST(RecommendRuntimeTest, OffloadMustPay) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  question.objective = Objective::kMemory;
  question.tunings = {Tuning::kLora};
  const RuntimeResult result = RecommendRuntime(question).value();
  ASSERT_FALSE(result.ranked.empty());
  for (const RuntimeCandidate& candidate : result.ranked) {
    EXPECT_FALSE(candidate.setup.zero_stage < 3 && candidate.setup.offload_optimizer);
  }
}

TEST(ChooseVersionTest, VersionsOutsideTheKnownRangeAreFlagged) {
  EXPECT_TRUE(ChooseVersion("", "")->known);
  EXPECT_EQ(ChooseVersion("4.44.2", "")->version, StackVersion::kTransformers444);
  EXPECT_EQ(ChooseVersion("4.46.1", "2.5")->version, StackVersion::kTransformers448);
  EXPECT_EQ(ChooseVersion("", "2.13.0")->version, StackVersion::kTorch213);
  EXPECT_TRUE(ChooseVersion("4.48", "2.13.0")->known);
  const VersionChoice both = ChooseVersion("5.24.0", "2.15.0").value();
  EXPECT_FALSE(both.known);
  EXPECT_THAT(both.note, AllOf(HasSubstr("transformers 5.24.0"), HasSubstr("torch 2.15.0"),
                               HasSubstr("4.37 to 4.48")));
  EXPECT_THAT(std::string(ChooseVersion("new", "").status().message()),
              HasSubstr("'new' is not a version of transformers"));
}

TEST(RecommendRuntimeTest, UnknownVersionsWidenIntervalsAndAreNoted) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  const RuntimeResult known = RecommendRuntime(question).value();
  question.version = ChooseVersion("4.60", "").value();
  const RuntimeResult unknown = RecommendRuntime(question).value();
  EXPECT_THAT(unknown.notes, ::testing::Contains(HasSubstr("outside the known range")));
  EXPECT_EQ(unknown.ranked[0].memory.allocated.bytes, known.ranked[0].memory.allocated.bytes);
  EXPECT_GT(unknown.ranked[0].memory.allocated.high_bytes,
            known.ranked[0].memory.allocated.high_bytes);
  EXPECT_GT(unknown.ranked[0].time.high_seconds, known.ranked[0].time.high_seconds);
}

TEST(RecommendRuntimeTest, TellsWhatAReaderMustKnow) {
  const RuntimeResult old = RecommendRuntime(QuestionOf("Llama-2-7b-hf", "8xV100-32GB")).value();
  EXPECT_THAT(old.notes, ::testing::Contains(HasSubstr("no FlashAttention-2")));
  EXPECT_TRUE(old.ranked[0].setup.half_is_fp16);
  EXPECT_THAT(old.notes, ::testing::Contains(HasSubstr("no published measurement of V100-32GB")));
  EXPECT_THAT(RecommendRuntime(QuestionOf("Llama-2-7b-hf", "16xA100-80GB"))->notes,
              ::testing::Contains(HasSubstr("nodes of 8 GPUs with 1600 Gbit/s of network")));
}

// Of those that fit some are dropped again: what is left is told, and nothing made up.
TEST(RecommendRuntimeTest, EveryRowIsAMixThatFits) {
  for (const int64_t ranked_count : {8, 40, 100'000}) {
    RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
    question.ranked_count = ranked_count;
    const RuntimeResult result = RecommendRuntime(question).value();
    EXPECT_LE(static_cast<int64_t>(result.ranked.size()), ranked_count);
    for (const RuntimeCandidate& candidate : result.ranked) {
      EXPECT_GT(candidate.setup.context, 0);
      EXPECT_GT(candidate.time.step_seconds, 0);
    }
  }
  RuntimeQuestion few = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  few.ranked_count = static_cast<int64_t>(RecommendRuntime(few)->ranked.size()) + 1;
  ASSERT_GT(RecommendRuntime(few)->feasible_count, few.ranked_count);
  EXPECT_LT(static_cast<int64_t>(RecommendRuntime(few)->ranked.size()), few.ranked_count);
}

TEST(RecommendRuntimeTest, ABudgetIsTheMemoryThereIs) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "8xA100-80GB");
  question.memory_budget_bytes = int64_t{5} << 30;
  const RuntimeResult result = RecommendRuntime(question).value();
  ASSERT_TRUE(result.nearest.has_value());
  EXPECT_EQ(result.nearest->setup.hardware.memory_bytes, question.memory_budget_bytes);
  question.memory_budget_bytes = 0;
  question.pins = {.zero_stage = 3, .offload = Offload::kOptimizerAndParameters};
  question.host_memory_budget_bytes = 1;
  const RuntimeResult host = RecommendRuntime(question).value();
  EXPECT_TRUE(host.ranked.empty());
  EXPECT_THAT(host.notes, ::testing::Contains(HasSubstr("of host memory per GPU")));
}

TEST(RecommendRuntimeTest, NodesAndTheirNetworkCount) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "16xA100-80GB");
  question.pins = {.zero_stage = 3, .checkpointing = true, .micro_batch = 1};
  const auto seconds = [&] {
    return RecommendRuntime(question)->ranked[0].time.communication_seconds;
  };
  const double assumed = seconds();
  question.network_bytes_per_second = 8 * 25e9;
  EXPECT_EQ(seconds(), assumed);
  question.gpus_per_node = 4;
  question.network_bytes_per_second = 25e9;
  EXPECT_GT(seconds(), 2 * assumed);
  EXPECT_THAT(RecommendRuntime(question)->notes,
              ::testing::Not(::testing::Contains(HasSubstr("of network"))));
  EXPECT_EQ(RecommendRuntime(question)->ranked[0].setup.gpus_per_node, 4);
}

TEST(RecommendRuntimeTest, SingleQuantizationTakesMore) {
  RuntimeQuestion question = QuestionOf("Llama-2-7b-hf", "A100-80GB", Runtime::kHuggingFace);
  question.tunings = {Tuning::kQlora};
  question.pins = {.checkpointing = true, .micro_batch = 1};
  const int64_t doubly = Needed(RecommendRuntime(question)->ranked[0]);
  question.double_quantization = false;
  const RuntimeResult single = RecommendRuntime(question).value();
  EXPECT_EQ(single.ranked[0].setup.quantization, Quantization::kNf4);
  EXPECT_GT(Needed(single.ranked[0]), doubly);
}

}  // namespace
}  // namespace tunesmith::runtimes
