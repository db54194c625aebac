// Questions that no machine should have to answer: each is a status that names the field, or an answer within bounded time and memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/price_limits.h"
#include "planner/answer/search.h"
#include "planner/model/catalog.h"
#include "planner/model/size_limits.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Question GpuQuestion(int64_t device_count = 1) {
  return {.model = *FindModel("SmolLM2-135M"),
          .workload = {.context = 512, .rows_per_step = 8},
          .devices = {.hardware = *FindHardware("A100-80GB"), .device_count = device_count}};
}

std::string ErrorOf(const Question& question) {
  const absl::Status status = Recommend(question).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(BadInputTest, ADeviceWithoutARateIsNamed) {
  for (const double rate : {0.0, -1.0, 1e-300, 1e300, kNan, kInfinity}) {
    for (double Hardware::*field :
         {&Hardware::memory_bytes_per_second, &Hardware::fp32_dense_flops_per_second,
          &Hardware::bf16_dense_flops_per_second, &Hardware::link_bytes_per_second}) {
      Question question = GpuQuestion(2);
      question.devices.hardware.*field = rate;
      if (rate == 0 && field == &Hardware::bf16_dense_flops_per_second) continue;
      EXPECT_THAT(ErrorOf(question), AllOf(HasSubstr("A100-80GB"), HasSubstr("per_second is ")));
    }
  }
  Question question = GpuQuestion(2);
  question.devices.hardware.link_bytes_per_second = 0;
  EXPECT_THAT(ErrorOf(question), HasSubstr("link_bytes_per_second is 0"));
  question.devices.device_count = 1;
  EXPECT_TRUE(Recommend(question).ok());
  question.devices.hardware.memory_bytes = -1;
  EXPECT_THAT(ErrorOf(question), HasSubstr("memory_bytes is -1"));
}

TEST(BadInputTest, TokensOfAStepHaveALimit) {
  Question question = GpuQuestion();
  question.model.context_limit = 1 << 30;
  question.workload = {.context = 1 << 28, .rows_per_step = 2};
  EXPECT_THAT(ErrorOf(question), HasSubstr("context(268435456) x rows_per_step(2) = 536870912 "
                                           "tokens, must be at most 268435456"));
  question.workload = {.context = 1 << 30, .rows_per_step = 1 << 24};
  EXPECT_THAT(ErrorOf(question), HasSubstr("tokens, must be at most"));
}

TEST(BadInputTest, ActivationsBeyond63BitsAreRefused) {
  Question question = GpuQuestion();
  question.model.layer_count = 1024;
  question.model.hidden_size = 64;
  question.model.intermediate_size = 1 << 23;
  question.model.context_limit = 1 << 28;
  question.workload = {.context = 1 << 20, .rows_per_step = 1 << 8};
  ASSERT_TRUE(ValidateModelSpec(question.model).ok());
  EXPECT_THAT(ErrorOf(question), AllOf(HasSubstr("layer_count(1024)"), HasSubstr("bytes, must")));
}

// Eager attention's scores would not fit 63 bits; flash attention has none.
TEST(BadInputTest, ScoresBeyond63BitsLeaveFlashAttention) {
  Question question = GpuQuestion();
  question.model.layer_count = 2;
  question.model.context_limit = 1 << 28;
  question.model.head_count = question.model.kv_head_count = 16;
  // Quick enough for the step to stay within what times are kept in.
  question.devices.hardware.fp32_dense_flops_per_second = 1e17;
  question.devices.hardware.bf16_dense_flops_per_second = 1e17;
  question.workload = {
      .context = 1 << 26, .rows_per_step = 1, .evaluates = false, .generates = false};
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_TRUE(result->nearest.has_value());
  EXPECT_EQ(result->nearest->mix.attention, AttentionKernel::kFlash);
  EXPECT_GT(result->nearest->memory.arena_bytes, int64_t{1} << 36);
  Mix eager = result->nearest->mix;
  eager.attention = AttentionKernel::kEager;
  const absl::Status status = Estimate(question, eager).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("attention=eager: the scores of micro_batch(1) x context(67108864)"));
}

TEST(BadInputTest, StepsThatPicosecondsCannotHoldAreRefused) {
  Question question = GpuQuestion();
  question.devices.hardware.fp32_dense_flops_per_second = 1e3;
  question.devices.hardware.bf16_dense_flops_per_second = 1e3;
  EXPECT_THAT(ErrorOf(question), HasSubstr("seconds, more than the 9"));
  question = GpuQuestion();
  question.calibration = {.id = "slow", .device_name = "A100-80GB"};
  question.calibration.rates = {{.op_kind = "rms_norm", .bytes = 1000, .bytes_per_second = 1e3}};
  EXPECT_THAT(ErrorOf(question), HasSubstr("seconds, more than the 9"));
}

TEST(BadInputTest, NoMixTakesLongerThanTheBound) {
  Question question = GpuQuestion();
  question.calibration = {.id = "odd", .device_name = "A100-80GB"};
  question.calibration.rates = {{.op_kind = "swiglu", .bytes = 1000, .bytes_per_second = 1e9}};
  question.calibration.gemm = {{"linear", 64, 64, 64, 1e12}};
  question.calibration.attention = {{"attention", 64, 64, 1e11}};
  question.calibration.step_factor = 1.5;
  for (const bool calibrated : {true, false}) {
    if (!calibrated) question.calibration = {};
    for (const Method method : kAllMethods) {
      for (const AttentionKernel attention : {AttentionKernel::kEager, AttentionKernel::kFlash}) {
        for (const int64_t micro_batch : {1, 8}) {
          const Mix mix{.method = method,
                        .precision = Precision::kBf16,
                        .recompute = {0, 0, 0, 0, 30, 0},
                        .attention = attention,
                        .loss = LossKernel::kChunked,
                        .micro_batch = micro_batch,
                        .accumulation_count = 8 / micro_batch};
          const auto prediction = Estimate(question, mix);
          ASSERT_TRUE(prediction.ok()) << prediction.status();
          EXPECT_LT(prediction->time.step_seconds, MostStepSeconds(question)) << FormatMix(mix);
        }
      }
    }
  }
}

TEST(BadInputTest, NoProgramNeedsMoreThanTheBounds) {
  for (const ProgramInputs& inputs : ToyGrid(2)) {
    const MemoryPlan plan = PlanMemory(*BuildProgram(inputs));
    const auto of = [&](MemoryClass c) { return plan.class_bytes[static_cast<size_t>(c)]; };
    const int64_t tokens = inputs.mix.micro_batch * inputs.workload.context;
    EXPECT_LT(static_cast<double>(of(MemoryClass::kActivations) + of(MemoryClass::kLogits)),
              MostActivationBytes(inputs.model, tokens) +
                  MostScoreBytes(inputs.model, tokens, inputs.workload.context));
  }
}

TEST(BadInputTest, AMixThatContradictsItselfPrintsTheEquation) {
  const Question question = GpuQuestion();
  const auto error_of = [&](const Mix& mix) {
    const absl::Status status = Estimate(question, mix).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  Mix mix{.recompute = {10, 0, 0, 0, 20, 0}, .micro_batch = 4, .accumulation_count = 2};
  EXPECT_TRUE(Estimate(question, mix).ok());
  mix.data_parallel = 2;
  EXPECT_THAT(error_of(mix), HasSubstr("data_parallel(2) != devices(1)"));
  mix.data_parallel = 1;
  mix.accumulation_count = 3;
  EXPECT_THAT(error_of(mix), HasSubstr("micro_batch(4) x accumulation(3) x data_parallel(1) != "
                                       "rows per step(8)"));
  mix.accumulation_count = 2;
  mix.recompute[0] = 11;
  EXPECT_THAT(error_of(mix), HasSubstr("keep(11) + block(20) != layers(30)"));
}

// As deep as a model may be, where everything fits.
TEST(BadInputTest, TheDeepestModelIsAnswered) {
  Question question = GpuQuestion();
  question.model = ToyModel(1024, true);
  question.workload = {.context = 64, .rows_per_step = 2};
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->ranked.empty());
  question.model.layer_count = 1'000'000;
  EXPECT_THAT(ErrorOf(question), HasSubstr("layer_count is 1000000, must be 1 to 1024"));
}

}  // namespace
}  // namespace tunesmith::planner
