#include "runtimes/time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtimes/device_rates.h"
#include "runtimes/work.h"
#include "tests/runtimes/runtime_fixture.h"

namespace tunesmith::runtimes {
namespace {

using planner::Method;

// Passes over the blocks: 3 and 4 with full fine-tuning, 2 and 3 with LoRA.
TEST(WorkTest, LoraSavesTheGradientsOfWeights) {
  RunSetup setup = SetupOf("Llama-2-70b-hf", "A100-80GB");
  const auto flops = [&](Method method, bool checkpointing) {
    setup.method = method;
    setup.checkpointing = checkpointing;
    return WorkOf(setup).gemm_flops;
  };
  EXPECT_NEAR(flops(Method::kLora, false) / flops(Method::kFull, false), 2.0 / 3, 0.01);
  EXPECT_NEAR(flops(Method::kLora, true) / flops(Method::kFull, true), 3.0 / 4, 0.01);
  const double parameters = static_cast<double>(setup.shape.parameter_count);
  EXPECT_NEAR(flops(Method::kFull, false) / (6 * parameters * 4096), 1, 0.02);
}

TEST(WorkTest, AttentionIsQuadraticInTheContext) {
  RunSetup setup = SetupOf("Llama-2-7b-hf", "A100-80GB");
  const double once = WorkOf(setup).attention_flops;
  setup.context *= 2;
  EXPECT_DOUBLE_EQ(WorkOf(setup).attention_flops, 4 * once);
}

TEST(PredictTimeTest, ShortRowsAreBoundByTheHost) {
  RunSetup setup = SetupOf("Qwen-1_8B", "A100-80GB");
  setup.context = 256;
  setup.accumulation_count = 8;
  const TimePrediction time = PredictTime(setup);
  EXPECT_GE(time.step_seconds, time.host_seconds);
  EXPECT_LT(time.gemm_seconds + time.attention_seconds + time.elementwise_seconds,
            time.host_seconds);
  EXPECT_NEAR(time.step_seconds, 1.0, 0.1);  // Qwen's README
  setup.context = 512;
  EXPECT_DOUBLE_EQ(PredictTime(setup).step_seconds, time.step_seconds);
}

TEST(PredictTimeTest, DevicesThatNobodyMeasuredSaySoAndHaveWiderIntervals) {
  const TimePrediction known = PredictTime(SetupOf("Llama-2-7b-hf", "A100-80GB"));
  const TimePrediction other = PredictTime(SetupOf("Llama-2-7b-hf", "L40S"));
  EXPECT_TRUE(known.note.empty());
  EXPECT_THAT(other.note, ::testing::HasSubstr("L40S"));
  EXPECT_GT(other.high_seconds / other.low_seconds, known.high_seconds / known.low_seconds);
}

TEST(PredictTimeTest, OffloadAndShardingCostTime) {
  RunSetup setup = SetupOf("Llama-3.1-8B", "H200");
  setup.method = Method::kFull;
  setup.runtime = Runtime::kDeepSpeed;
  setup.gpu_count = 8;
  setup.zero_stage = 2;
  const double two = PredictTime(setup).step_seconds;
  setup.zero_stage = 3;
  const double three = PredictTime(setup).step_seconds;
  setup.offload_optimizer = true;
  EXPECT_LT(two, three);
  // CPU Adam over 8.03e9 parameters on one node took about 2 s (ml-engineering).
  EXPECT_NEAR(PredictTime(setup).step_seconds - three, 2.1, 0.3);
}

}  // namespace
}  // namespace tunesmith::runtimes
