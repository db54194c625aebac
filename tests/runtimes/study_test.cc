// The findings of arXiv 2406.02290 as questions in its space (full or LoRA, no quantization, balanced), each with its margin. Where a setting of
// context or batch gives another answer, docs/explanation/other-runtimes.md says so and why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "runtimes/search.h"

namespace tunesmith::runtimes {
namespace {

using planner::Method;
using planner::Objective;
using ::testing::HasSubstr;

constexpr double kGib = 1024.0 * 1024 * 1024;

RuntimeQuestion StudyQuestion(std::string_view model, std::string_view devices, int64_t context,
                              int64_t rows) {
  const planner::DeviceGroup group = planner::ParseDeviceGroup(devices).value();
  RuntimeQuestion question;
  question.shape = FindShape(model).value();
  question.hardware = group.hardware;
  question.gpu_count = group.device_count;
  question.runtime = Runtime::kDeepSpeed;
  question.objective = Objective::kBalanced;
  question.context = context;
  question.rows_per_step = rows;
  question.ranked_count = 100'000;
  return question;
}

double Gib(const RuntimeCandidate& candidate) {
  return static_cast<double>(candidate.memory.allocated.bytes + candidate.memory.context_bytes) /
         kGib;
}

// By how much the best mix that differs in `differs` from the choice loses: memory within the slack, else time.
template <typename Differs>
void PrintMargin(const char* against, const RuntimeResult& result, Differs differs) {
  const RuntimeCandidate& chosen = result.ranked[0];
  double quickest = chosen.time.step_seconds;
  for (const RuntimeCandidate& candidate : result.ranked)
    quickest = std::min(quickest, candidate.time.step_seconds);
  const RuntimeCandidate* inside = nullptr;
  const RuntimeCandidate* outside = nullptr;
  for (const RuntimeCandidate& candidate : result.ranked) {
    if (!differs(candidate.setup)) continue;
    const bool within = candidate.time.step_seconds <= 1.05 * quickest;
    if (within && (inside == nullptr || Gib(candidate) < Gib(*inside))) inside = &candidate;
    if (!within && (outside == nullptr || candidate.time.step_seconds < outside->time.step_seconds))
      outside = &candidate;
  }
  std::printf("  %s: chosen %s, %.2f s, %.1f GiB\n", against, FormatSetup(chosen.setup).c_str(),
              chosen.time.step_seconds, Gib(chosen));
  if (inside != nullptr)
    std::printf("    margin %+.2f GiB: %s, %.2f s, %.1f GiB\n", Gib(*inside) - Gib(chosen),
                FormatSetup(inside->setup).c_str(), inside->time.step_seconds, Gib(*inside));
  if (outside != nullptr)
    std::printf("    margin %+.1f %% beyond the slack: %s, %.2f s, %.1f GiB\n",
                100 * (outside->time.step_seconds / (1.05 * quickest) - 1),
                FormatSetup(outside->setup).c_str(), outside->time.step_seconds, Gib(*outside));
  if (inside == nullptr && outside == nullptr) std::printf("    margin: no such mix fits\n");
}

struct Setting {
  const char* model;
  int64_t context, rows;
};
class SmallModels : public ::testing::TestWithParam<Setting> {};

// "ZeRO-2 with LoRA is the best default."
TEST_P(SmallModels, TakeLoraWithZeroTwo) {
  const Setting& setting = GetParam();
  const RuntimeResult result =
      RecommendRuntime(StudyQuestion(setting.model, "8xA100-80GB", setting.context, setting.rows))
          .value();
  ASSERT_FALSE(result.ranked.empty());
  const RunSetup& chosen = result.ranked[0].setup;
  EXPECT_EQ(chosen.method, Method::kLora);
  EXPECT_EQ(chosen.zero_stage, 2);
  EXPECT_FALSE(chosen.offload_optimizer);
  PrintMargin("full fine-tuning", result,
              [](const RunSetup& setup) { return setup.method == Method::kFull; });
  PrintMargin("other stages", result, [](const RunSetup& setup) {
    return setup.method == Method::kLora && setup.zero_stage != 2;
  });
}
INSTANTIATE_TEST_SUITE_P(
    Study, SmallModels,
    ::testing::Values(Setting{"Llama-2-7b-hf", 512, 64}, Setting{"Llama-2-7b-hf", 1024, 64},
                      Setting{"Llama-2-7b-hf", 2048, 64}, Setting{"Llama-2-7b-hf", 4096, 8},
                      Setting{"Llama-2-13b-hf", 512, 64}, Setting{"Llama-2-13b-hf", 1024, 64},
                      Setting{"Llama-2-13b-hf", 2048, 64}));

class LargeModels : public ::testing::TestWithParam<Setting> {};

// "ZeRO-3 with LoRA and gradient checkpointing for very large models."
TEST_P(LargeModels, TakeLoraWithZeroThreeAndCheckpointing) {
  const Setting& setting = GetParam();
  const RuntimeResult result =
      RecommendRuntime(StudyQuestion(setting.model, "8xA100-80GB", setting.context, setting.rows))
          .value();
  ASSERT_FALSE(result.ranked.empty());
  const RunSetup& chosen = result.ranked[0].setup;
  EXPECT_EQ(chosen.method, Method::kLora);
  EXPECT_EQ(chosen.zero_stage, 3);
  EXPECT_TRUE(chosen.checkpointing);
  PrintMargin("full fine-tuning", result,
              [](const RunSetup& setup) { return setup.method == Method::kFull; });
  PrintMargin("other stages", result, [](const RunSetup& setup) { return setup.zero_stage != 3; });
  PrintMargin("keeping activations", result,
              [](const RunSetup& setup) { return !setup.checkpointing; });
}
INSTANTIATE_TEST_SUITE_P(
    Study, LargeModels,
    ::testing::Values(Setting{"Llama-2-70b-hf", 1024, 64}, Setting{"Llama-2-70b-hf", 2048, 64},
                      Setting{"Llama-2-70b-hf", 4096, 64}, Setting{"falcon-180B", 512, 64},
                      Setting{"falcon-180B", 1024, 64}, Setting{"falcon-180B", 2048, 64}));

// "FlashAttention-2 for long contexts, on GPUs that have it."
TEST(Study, LongContextsOnA100WantFlashAttention) {
  RuntimeQuestion question = StudyQuestion("Mistral-7B-v0.1", "8xA100-80GB", 16384, 8);
  const RuntimeResult free = RecommendRuntime(question).value();
  EXPECT_EQ(free.ranked[0].setup.attention, Attention::kFlash);
  PrintMargin("eager attention", free,
              [](const RunSetup& setup) { return setup.attention == Attention::kEager; });
  question.pins.attention = Attention::kEager;
  const RuntimeResult eager = RecommendRuntime(question).value();
  EXPECT_TRUE(eager.ranked.empty());
  std::printf("  eager needs at least %.1f GiB of %.1f\n", Gib(*eager.nearest),
              static_cast<double>(question.hardware.memory_bytes) / kGib);
  question.context = 4096;
  const double eager_seconds = RecommendRuntime(question)->ranked[0].time.step_seconds;
  question.pins.attention = Attention::kFlash;
  const double flash_seconds = RecommendRuntime(question)->ranked[0].time.step_seconds;
  std::printf("  at 4,096 tokens eager takes %.2f of flash's time\n",
              eager_seconds / flash_seconds);
  EXPECT_GT(eager_seconds, 1.1 * flash_seconds);
}

TEST(Study, V100HasNoFlashAttentionTwo) {
  RuntimeQuestion question = StudyQuestion("Llama-2-7b-hf", "8xV100-32GB", 4096, 64);
  const RuntimeResult free = RecommendRuntime(question).value();
  EXPECT_EQ(free.ranked[0].setup.attention, Attention::kEfficient);
  PrintMargin("eager attention", free,
              [](const RunSetup& setup) { return setup.attention == Attention::kEager; });
  question.pins.attention = Attention::kFlash;
  EXPECT_THAT(std::string(RecommendRuntime(question).status().message()),
              HasSubstr("V100-32GB is sm_70"));
}

// "CPU offload where GPUs are few."
TEST(Study, FewGpusAddOffload) {
  struct Case {
    const char *model, *devices;
    Tuning tuning;
  };
  for (const Case& few : {Case{"Llama-2-7b-hf", "1xA100-80GB", Tuning::kFull},
                          Case{"Llama-2-13b-hf", "2xA100-80GB", Tuning::kFull},
                          Case{"falcon-180B", "4xA100-80GB", Tuning::kLora},
                          Case{"Llama-2-70b-hf", "1xA100-80GB", Tuning::kLora}}) {
    SCOPED_TRACE(few.model);
    RuntimeQuestion question = StudyQuestion(few.model, few.devices, 1024, 16);
    question.tunings = {few.tuning};
    const RuntimeResult result = RecommendRuntime(question).value();
    ASSERT_FALSE(result.ranked.empty());
    EXPECT_TRUE(result.ranked[0].setup.offload_optimizer);
    PrintMargin(few.devices, result,
                [](const RunSetup& setup) { return !setup.offload_optimizer; });
    question.pins.offload = Offload::kNone;
    const RuntimeResult without = RecommendRuntime(question).value();
    EXPECT_TRUE(without.ranked.empty());
    if (without.nearest)
      std::printf("    without offload at least %.1f GiB\n", Gib(*without.nearest));
  }
}

}  // namespace
}  // namespace tunesmith::runtimes
