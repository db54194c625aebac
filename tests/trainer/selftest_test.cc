#include "trainer/selftest.h"

#include "gtest/gtest.h"
#include "trainer/open_device.h"

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
}

}  // namespace
}  // namespace tunesmith::trainer
