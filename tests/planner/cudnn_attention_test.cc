#include "planner/program/cudnn_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/explain.h"
#include "planner/answer/search.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "planner/program/check_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kHopper = 90, kAmpere = 80;

OpAttributes Llama() {
  return {.head_count = 32, .kv_head_count = 8, .head_size = 128, .context = 4096};
}

std::string Refusal(const OpAttributes& attributes, DType dtype = DType::kBF16,
                    int64_t compute_capability = kHopper) {
  const absl::Status status = CheckCudnnTakes(attributes, dtype, 2, compute_capability);
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  return std::string(status.message());
}

TEST(CudnnAttentionTest, TakesBf16OfHeadsThatItCanRead) {
  EXPECT_TRUE(CheckCudnnTakes(Llama(), DType::kBF16, 2, kAmpere).ok());
  const OpAttributes odd = {
      .head_count = 14, .kv_head_count = 2, .head_size = 72, .context = 1000, .window = 33};
  EXPECT_TRUE(CheckCudnnTakes(odd, DType::kBF16, 2, kAmpere).ok());
}

TEST(CudnnAttentionTest, RefusesWhatCudnnIsNotAsked) {
  EXPECT_THAT(Refusal(Llama(), DType::kF32), HasSubstr("use bf16"));
  OpAttributes changed = Llama();
  changed.soft_cap = 50.0;
  EXPECT_THAT(Refusal(changed), HasSubstr("soft cap"));
  changed = Llama();
  changed.alibi_bias_max = 8.0;
  EXPECT_THAT(Refusal(changed), HasSubstr("ALiBi"));
  for (const int64_t head_size : {2, 60, 264}) {
    changed = Llama();
    changed.head_size = head_size;
    EXPECT_THAT(Refusal(changed), HasSubstr("multiples of 8 up to 256"));
  }
  changed.head_size = 256;
  EXPECT_TRUE(CheckCudnnTakes(changed, DType::kBF16, 2, kHopper).ok());
  EXPECT_THAT(Refusal(changed, DType::kBF16, kAmpere), HasSubstr("up to 128"));
  changed = Llama();
  changed.context = 1;
  EXPECT_THAT(Refusal(changed), HasSubstr("one token"));
}

TEST(CudnnAttentionTest, SizesThatMakeNoShapeAreInvalid) {
  OpAttributes uneven = Llama();
  uneven.kv_head_count = 5;
  EXPECT_TRUE(absl::IsInvalidArgument(CheckCudnnTakes(uneven, DType::kBF16, 2, kHopper)));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckCudnnTakes(Llama(), DType::kBF16, 0, kHopper)));
}

// 4 rows of 4096 tokens: dq's sums take 4 bytes for each of q's elements, the gradients of k and v of each head 4 more, and engines before sm_90 another 4.
TEST(CudnnAttentionTest, WorkspacesAreLinearInTokens) {
  constexpr int64_t kRows = 4, kTokens = kRows * 4096, kQueries = kTokens * 32,
                    kElements = kQueries * 128, kSlack = 16 * kKiB;
  EXPECT_EQ(CudnnForwardWorkspace(Llama(), kRows).end, 4 * kTokens + kSlack);
  const int64_t own = 4 * (kTokens + kQueries + kElements);
  EXPECT_EQ(CudnnBackwardWorkspace(Llama(), kRows, kHopper).cudnn, own);
  EXPECT_EQ(CudnnBackwardWorkspace(Llama(), kRows, kHopper).end, own + 4 * kElements + kSlack);
  EXPECT_EQ(CudnnBackwardWorkspace(Llama(), kRows, kAmpere).end, own + 8 * kElements + kSlack);
  OpAttributes alone = Llama();
  alone.kv_head_count = alone.head_count;
  EXPECT_EQ(CudnnBackwardWorkspace(alone, kRows, kHopper).end, own + kSlack);
}

ProgramInputs OnGpu(ProgramInputs inputs) {
  inputs.model.head_size = 8;
  inputs.mix.precision = Precision::kBf16;
  inputs.mix.attention = AttentionKernel::kCudnn;
  inputs.backend = {.kind = BackendKind::kCuda, .compute_capability = kHopper};
  return inputs;
}

TEST(CudnnAttentionTest, ProgramsGiveEveryOpItsWorkspace) {
  for (ProgramInputs inputs : ToyGrid(2)) {
    const auto program = BuildProgram(OnGpu(inputs));
    ASSERT_TRUE(program.ok()) << program.status();
    ASSERT_TRUE(CheckProgram(*program, PlanMemory(*program)).ok());
    int forward_count = 0, backward_count = 0;
    for (const Block& block : program->blocks) {
      for (const Op& op : block.ops) {
        const auto bytes_of = [&](int output) {
          const BufferRef ref = op.outputs[static_cast<size_t>(output)];
          return InstanceBytes(program->buffers[static_cast<size_t>(ref.buffer)]);
        };
        if (op.kind == OpKind::kCudnnAttention) {
          ++forward_count;
          EXPECT_GE(bytes_of(2), CudnnForwardWorkspace(op.attributes, 2).end);
        } else if (op.kind == OpKind::kCudnnAttentionBackward) {
          ++backward_count;
          EXPECT_GE(bytes_of(3), CudnnBackwardWorkspace(op.attributes, 2, kHopper).end);
        } else {
          EXPECT_FALSE(IsAttention(op.kind)) << OpKindName(op.kind);
        }
      }
    }
    EXPECT_GT(forward_count, 0);
    EXPECT_GT(backward_count, 0);
  }
}

TEST(CudnnAttentionTest, MixesThatItDoesNotTakeNameTheCure) {
  const ProgramInputs good = OnGpu(ToyGrid(1).front());
  const auto message = [](const ProgramInputs& inputs) {
    const absl::Status status = BuildProgram(inputs).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  ProgramInputs bad = good;
  bad.backend = {};
  EXPECT_THAT(message(bad), HasSubstr("attention=flash on a CPU"));
  bad = good;
  bad.mix.precision = Precision::kFp32;
  EXPECT_THAT(message(bad),
              HasSubstr("for NVIDIA GPUs in bf16: use precision=bf16 on one, or attention=flash"));
  bad = good;
  bad.model.head_size = 4;
  EXPECT_THAT(message(bad), HasSubstr("multiples of 8 up to 256; use attention=flash"));
}

// Documents hide pairs from our kernels; cuDNN forms them and masks them out.
TEST(CudnnAttentionTest, DocumentsDoNotMakeItCheaper) {
  const auto step = [](AttentionKernel attention, double pairs) {
    ProgramInputs inputs = OnGpu(ToyGrid(1).front());
    inputs.mix.attention = attention;
    inputs.model.context_limit = inputs.workload.context = 8192;
    const PriceTable prices(*FindHardware("H100-SXM"), {}, Precision::kBf16,
                            {.flash_pair_factor = pairs, .full_pair_factor = pairs});
    return PriceStep(*BuildProgram(inputs), prices).step_picoseconds;
  };
  EXPECT_LT(step(AttentionKernel::kFlash, 0.1), step(AttentionKernel::kFlash, 1));
  EXPECT_EQ(step(AttentionKernel::kCudnn, 0.1), step(AttentionKernel::kCudnn, 1));
  EXPECT_LT(step(AttentionKernel::kCudnn, 1), step(AttentionKernel::kFlash, 1));
}

Question GpuQuestion() {
  Question question{.model = ToyModel(2, true),
                    .workload = {.context = 64, .rows_per_step = 4},
                    .devices = {.hardware = *FindHardware("H100-SXM")},
                    .method = MethodChoice::kFull};
  question.model.head_size = 8;
  return question;
}

Calibration MetByACalibration() {
  Calibration calibration{.id = "made-up", .device_name = "H100-SXM"};
  for (const OpKind kind : {OpKind::kCudnnAttention, OpKind::kCudnnAttentionBackward})
    calibration.attention.push_back({std::string(OpKindName(kind)), 64, 8, 1e14});
  return calibration;
}

bool Offers(const Question& question) {
  const std::vector<Mix> families = FamiliesOf(question);
  return std::any_of(families.begin(), families.end(),
                     [](const Mix& mix) { return mix.attention == AttentionKernel::kCudnn; });
}

TEST(CudnnAttentionTest, IsOfferedWhereACalibrationHasMetIt) {
  Question question = GpuQuestion();
  EXPECT_FALSE(Offers(question));
  question.calibration = MetByACalibration();
  EXPECT_TRUE(Offers(question));
  question.precision = Precision::kFp32;
  EXPECT_FALSE(Offers(question));
  question.precision = {};
  question.model.attention_soft_cap = 30.0;
  EXPECT_FALSE(Offers(question));
}

TEST(CudnnAttentionTest, IsRecommendedWhereItIsPinnedOrMeasuredAsQuick) {
  Question question = GpuQuestion();
  question.pinned.attention = AttentionKernel::kCudnn;
  auto result = Recommend(question);
  ASSERT_TRUE(result.ok() && !result->ranked.empty()) << result.status();
  EXPECT_EQ(result->ranked[0].mix.attention, AttentionKernel::kCudnn);
  EXPECT_THAT(result->notes, testing::Contains(HasSubstr("emulated cuDNN")));
  question.pinned = {};
  question.calibration = MetByACalibration();
  question.workload.context = 64;
  for (const OpKind kind : {OpKind::kFlashAttention, OpKind::kFlashAttentionBackward,
                            OpKind::kAttention, OpKind::kAttentionBackward})
    question.calibration.attention.push_back({std::string(OpKindName(kind)), 64, 8, 1e9});
  result = Recommend(question);
  ASSERT_TRUE(result.ok() && !result->ranked.empty()) << result.status();
  EXPECT_EQ(result->ranked[0].mix.attention, AttentionKernel::kCudnn);
}

TEST(CudnnAttentionTest, IsExplainedOnGpusThatTakeIt) {
  const auto explains = [](const Question& question) {
    const auto result = Recommend(question);
    EXPECT_TRUE(result.ok()) << result.status();
    const auto explanation = Explain(question, result->ranked[0]);
    EXPECT_TRUE(explanation.ok()) << explanation.status();
    return std::any_of(explanation->alternatives.begin(), explanation->alternatives.end(),
                       [](const Alternative& a) { return a.value == "cudnn"; });
  };
  Question question = GpuQuestion();
  EXPECT_TRUE(explains(question));
  question.model.head_size = 4;
  EXPECT_FALSE(explains(question));
}

}  // namespace
}  // namespace tunesmith::planner
