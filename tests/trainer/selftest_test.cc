#include "trainer/selftest.h"

#include <cmath>

#include "gtest/gtest.h"
#include "trainer/open_device.h"
#include "trainer/selftest_model.h"

namespace tunesmith::trainer {
namespace {

SelfTestOptions Options() {
  SelfTestOptions options;
  options.model = SelfTestModel();
  options.mix.method = planner::Method::kFull;
  options.mix.recompute[0] = options.model.layer_count;
  options.mix.micro_batch = 2;
  options.mix.accumulation_count = 2;
  return options;
}

SelfTestResult Train(const SelfTestOptions& options) {
  const auto device = OpenDevice::Open("cpu", 2);
  EXPECT_TRUE(device.ok()) << device.status();
  const auto result = RunSelfTest(device->context(), options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : SelfTestResult{};
}

TEST(SelfTestTest, LearnsTheRule) {
  const SelfTestResult result = Train(Options());
  ASSERT_EQ(result.losses.size(), 10u);
  EXPECT_LT(result.losses.back(), result.losses.front() - 0.2);
  EXPECT_LE(result.used_arena_bytes, result.planned_arena_bytes);
}

TEST(SelfTestTest, PlacementChangesNoLoss) {
  SelfTestOptions other = Options();
  other.mix.loss = planner::LossKernel::kChunked;
  other.mix.recompute = {};
  other.mix.recompute[static_cast<size_t>(planner::Rung::kBlock)] = other.model.layer_count;
  const absl::Status agrees = CompareLosses(Train(other), Train(Options()), 1e-5);
  EXPECT_TRUE(agrees.ok()) << agrees;
}

TEST(SelfTestTest, TheWarmUpIsLeftOutOfTheTimes) {
  SelfTestOptions options = Options();
  options.step_count = 3;
  EXPECT_EQ(Train(options).step_seconds.size(), 2u);
  options.warm_up = SelfTestWarmUp::kMicroBatches;
  EXPECT_EQ(Train(options).step_seconds.size(), 3u);
  options.warm_up = SelfTestWarmUp::kNone;
  options.step_count = 1;
  const SelfTestResult result = Train(options);
  EXPECT_EQ(result.step_seconds.size(), 1u);
  EXPECT_EQ(result.tokens_per_step, 2 * 2 * options.context);
  EXPECT_DOUBLE_EQ(result.tokens_per_second * result.median_step_seconds,
                   static_cast<double>(result.tokens_per_step));
}

TEST(SelfTestTest, WarmUpOfMicroBatchesChangesNoLoss) {
  SelfTestOptions other = Options();
  other.warm_up = SelfTestWarmUp::kMicroBatches;
  other.counts_used_bytes = false;
  const SelfTestResult result = Train(other);
  EXPECT_EQ(result.losses, Train(Options()).losses);
  EXPECT_EQ(result.used_arena_bytes, 0);
}

TEST(SelfTestTest, FilledRowsAreOneDocumentOfAnyLength) {
  SelfTestOptions options = Options();
  options.documents = SelfTestDocuments::kFilled;
  options.mix.micro_batch = options.mix.accumulation_count = 1;
  options.context = 2 * options.model.context_limit;  // of made-up text
  options.step_count = 1;
  const SelfTestResult result = Train(options);
  ASSERT_EQ(result.losses.size(), 1u);
  EXPECT_NE(result.losses, Train([&] {
                             SelfTestOptions shorter = options;
                             shorter.documents = SelfTestDocuments::kShort;
                             return shorter;
                           }())
                               .losses);
}

// Zeros would run faster than data, and a loss that is not finite ends the run.
TEST(SelfTestTest, NoiseFillsEveryWeightOfEveryMethod) {
  for (const char* mix :
       {"method=full precision=bf16 attention=flash batch=1x2", "method=lora:r4 batch=1x1",
        "method=qlora:r4 batch=1x1", "method=qlora:r4:single batch=1x1",
        "method=full offload=all batch=1x2"}) {
    SelfTestOptions options = Options();
    options.mix = planner::ParseMix(mix).value();
    options.mix.recompute[0] = options.model.layer_count;
    options.noise_weights = true;
    options.step_count = 2;
    const SelfTestResult result = Train(options);
    ASSERT_EQ(result.losses.size(), 2u) << mix;
    EXPECT_NEAR(result.losses[0], std::log(512.0), 0.5) << mix;
    EXPECT_GT(result.gradient_norms[0], 1e-3) << mix;
  }
}

TEST(SelfTestTest, NoStepBeginsAfterTheLastSecond) {
  SelfTestOptions options = Options();
  options.step_count = 1'000'000;
  options.most_seconds = 0.2;
  EXPECT_LT(Train(options).losses.size(), 100'000u);
}

TEST(SelfTestTest, NamesTheFirstStepThatDiffers) {
  const SelfTestResult reference = {.losses = {6.0, 5.0, 4.0}};
  SelfTestResult result = reference;
  result.losses[1] = 5.5;
  const absl::Status differs = CompareLosses(result, reference, 0.1);
  EXPECT_EQ(differs.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(differs.message().find("step 2 is 5.5"), std::string::npos) << differs;
  result.losses = {6.0};
  EXPECT_FALSE(CompareLosses(result, reference, 0.1).ok());
}

TEST(SelfTestTest, RefusesOptionsItDoesNotKnow) {
  EXPECT_EQ(SelfTestCommand({"--bogus", "1"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelfTestCommand({"--steps"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelfTestCommand({"--steps", "0"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelfTestCommand({"--documents", "long"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelfTestCommand({"--seconds", "0"}).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tunesmith::trainer
