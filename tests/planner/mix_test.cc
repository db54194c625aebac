#include "planner/model/mix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Mix WithRecompute(std::array<int64_t, kRungCount> layers) {
  Mix mix;
  mix.recompute = layers;
  return mix;
}

TEST(MixTest, PrintsAsOneLine) {
  Mix mix = WithRecompute({0, 0, 0, 0, 30, 0});
  mix.loss = LossKernel::kChunked;
  mix.micro_batch = 4;
  mix.accumulation_count = 8;
  EXPECT_EQ(
      FormatMix(mix),
      "method=lora:r16 zero_stage=0 recompute=block:30 attention=eager loss=chunked batch=4x8");
}

TEST(MixTest, PrintsWhatIsNotDefault) {
  Mix mix = WithRecompute({10, 0, 0, 2, 0, 3});
  mix.lora = {
      .rank = 8, .alpha = 4.5, .targets = kLoraQ | kLoraV, .rank_stabilized = true, .dropout = 0.1};
  mix.precision = Precision::kBf16;
  mix.optimizer = Optimizer::kSgd;
  mix.optimizer_state = OptimizerState::kBf16;
  mix.accumulation_dtype = AccumulationDtype::kBf16;
  mix.mlp_tile_count = 4;
  mix.data_parallel = 2;
  mix.sequence_parallel = 8;
  EXPECT_EQ(FormatMix(mix),
            "method=lora:r8:a4.5:rs:d0.1:q+v precision=bf16 optimizer=sgd optimizer_state=bf16 "
            "accumulation=bf16 zero_stage=0 recompute=keep:10,gate_up:2,host:3 attention=eager "
            "loss=full mlp_tiles=4 sequence_parallel=8 batch=1x1x2");
}

TEST(MixTest, AdaptersAreScaledByRankOrItsRoot) {
  EXPECT_EQ(LoraScale({.rank = 16, .alpha = 32}), 2);
  EXPECT_EQ(LoraScale({.rank = 16, .alpha = 32, .rank_stabilized = true}), 8);
  for (double dropout : {-0.1, 1.0, std::nan("")}) {
    Mix mix = WithRecompute({30, 0, 0, 0, 0, 0});
    mix.lora.dropout = dropout;
    EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("must be 0 to below 1")) << dropout;
  }
}

Mix RandomMix(std::mt19937_64& random) {
  const auto pick = [&random](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  Mix mix;
  mix.method = static_cast<Method>(pick(0, kMethodCount - 1));
  if (mix.method == Method::kQlora) mix.double_quantization = pick(0, 1) == 1;
  if (mix.method != Method::kFull) {
    mix.lora.rank = pick(1, 256);
    if (pick(0, 1) == 1) mix.lora.alpha = std::uniform_real_distribution<double>(1e-3, 1e3)(random);
    mix.lora.targets = static_cast<uint32_t>(pick(1, kLoraAll));
    mix.lora.rank_stabilized = pick(0, 1) == 1;
    if (pick(0, 1) == 1) mix.lora.dropout = std::uniform_real_distribution<double>(0, 0.99)(random);
  }
  mix.precision = static_cast<Precision>(pick(0, 1));
  mix.optimizer = static_cast<Optimizer>(pick(0, 1));
  mix.optimizer_state = static_cast<OptimizerState>(
      mix.optimizer == Optimizer::kAdamW ? pick(0, 2)
                                         : pick(0, mix.precision == Precision::kBf16 ? 1 : 0));
  mix.accumulation_dtype = static_cast<AccumulationDtype>(pick(0, 1));
  for (int64_t& layers : mix.recompute) layers = pick(0, 2) * pick(0, 40);
  mix.attention = static_cast<AttentionKernel>(pick(0, 1));
  mix.loss = static_cast<LossKernel>(pick(0, 1));
  mix.mlp_tile_count = pick(1, 3);
  mix.micro_batch = pick(1, 1000);
  mix.accumulation_count = pick(1, 1000);
  mix.data_parallel = pick(1, 3);
  mix.sequence_parallel = pick(1, 3);
  mix.offload = static_cast<Offload>(pick(0, 2));
  mix.zero_stage = RankCount(mix) > 1 ? pick(LeastZeroStage(mix.offload), 3) : 0;
  if (GathersWeights(mix)) mix.gather_depth = pick(0, 1);
  if (mix.offload == Offload::kOptimizer) mix.offload_percent = pick(1, 100);
  return mix;
}

int64_t LayerCount(const Mix& mix) {
  int64_t sum = 0;
  for (const int64_t layers : mix.recompute) sum += layers;
  return sum;
}

TEST(MixTest, RandomMixesRoundTrip) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 5000; ++i) {
    const Mix mix = RandomMix(random);
    ASSERT_TRUE(ValidateMix(mix, LayerCount(mix)).ok());
    const absl::StatusOr<Mix> parsed = ParseMix(FormatMix(mix));
    ASSERT_TRUE(parsed.ok()) << FormatMix(mix) << parsed.status();
    EXPECT_EQ(*parsed, mix) << FormatMix(mix);
  }
}

TEST(ParseMixTest, OrderAndAbsenceAreFree) {
  EXPECT_EQ(ParseMix("").value(), Mix());
  const Mix mix = ParseMix("  batch=2x3\tmethod=full ").value();
  EXPECT_EQ(mix.method, Method::kFull);
  EXPECT_EQ(mix.micro_batch, 2);
  EXPECT_EQ(ParseMix("method=lora:attention:r4")->lora.targets, kLoraAttention);
  EXPECT_EQ(ParseMix("method=lora")->lora, LoraSpec());
  EXPECT_EQ(ParseMix("method=qlora:r8")->method, Method::kQlora);
  EXPECT_TRUE(ParseMix("method=qlora:r8")->double_quantization);
  EXPECT_FALSE(ParseMix("method=qlora:r8:single")->double_quantization);
}

TEST(ParseMixTest, ErrorsNameAxisValueAndCure) {
  const std::pair<const char*, const char*> cases[] = {
      {"method=dora", "method=dora is not understood; write full or lora:r<rank>"},
      {"method=lora:single", "method=lora:single is not"},
      {"method=lora:r", "method=lora:r is not"},
      {"method=lora:q+q", "method=lora:q+q is not"},
      {"method=lora:anan", "method=lora:anan is not"},
      {"method=", "method= is not"},
      {"precision=fp16", "precision=fp16 is not understood; write fp32 or bf16"},
      {"optimizer=adam", "optimizer=adam is not understood; write adamw or sgd"},
      {"sequence_parallel=all", "sequence_parallel=all is not understood; write a whole number"},
      {"zero_stage=two", "zero_stage=two is not understood; write a whole number"},
      {"zero_stage=99999999999999999999", "zero_stage=99999999999999999999"},
      {"recompute=keep", "write <rung>:<layers>"},
      {"recompute=keep:1,keep:2", "each rung once"},
      {"recompute=none:1", "rungs: keep, activation, norms, gate_up, block, host"},
      {"batch=4", "write <micro>x<accumulation>"},
      {"batch=1x2x3x4", "batch=1x2x3x4"},
      {"optimiser_state=fp32", "no axis 'optimiser_state'; did you mean 'optimizer_state'?"},
      {"loss", "'loss' is not <axis>=<value>"},
      {"loss=full loss=full", "loss is given twice"},
  };
  for (const auto& [text, expected] : cases) {
    const absl::Status status = ParseMix(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr(expected)) << text;
  }
}

TEST(ValidateMixTest, PrintsTheEquationThatFails) {
  EXPECT_THAT(ValidateMix(WithRecompute({10, 0, 0, 0, 12, 0}), 30).message(),
              HasSubstr("recompute: keep(10) + block(12) != layers(30)"));
  EXPECT_THAT(ValidateMix(Mix(), 30).message(), HasSubstr("recompute: 0 != layers(30)"));
  EXPECT_THAT(ValidateMix(WithRecompute({31, -1, 0, 0, 0, 0}), 30).message(),
              HasSubstr("keep(31) + activation(-1)"));
  const int64_t huge = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(ValidateMix(WithRecompute({huge, huge, 32, 0, 0, 0}), 30).ok());
}

TEST(ValidateMixTest, NamesEveryAxisOutOfRange) {
  Mix mix = WithRecompute({30, 0, 0, 0, 0, 0});
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
  mix.lora = {.rank = 0, .alpha = std::nan(""), .targets = 1u << 9};
  mix.zero_stage = 4;
  mix.mlp_tile_count = 0;
  mix.micro_batch = -1;
  mix.accumulation_count = int64_t{1} << 40;
  mix.data_parallel = 0;
  mix.sequence_parallel = -2;
  EXPECT_THAT(ValidateMix(mix, 30).message(),
              AllOf(HasSubstr("rank(0)"), HasSubstr("alpha(nan)"), HasSubstr("targets(512)"),
                    HasSubstr("zero_stage(4)"), HasSubstr("mlp_tiles(0)"), HasSubstr("micro(-1)"),
                    HasSubstr("accumulation(1099511627776)"), HasSubstr("data ranks(0)"),
                    HasSubstr("sequence_parallel(-2) must be 1 to")));
  mix = WithRecompute({30, 0, 0, 0, 0, 0});
  mix.method = Method::kFull;
  mix.lora.rank = 0;  // not read
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
}

// What one data rank has, the ranks of its micro-batches share.
TEST(ValidateMixTest, RanksOfOneMicroBatchShareParametersToo) {
  Mix mix = WithRecompute({30, 0, 0, 0, 0, 0});
  mix.zero_stage = 3;
  EXPECT_THAT(ValidateMix(mix, 30).message(),
              HasSubstr("batch needs data ranks > 1, or sequence_parallel > 1"));
  mix.sequence_parallel = 2;
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
  mix.zero_stage = 0;
  mix.offload = Offload::kOptimizer;
  EXPECT_THAT(ValidateMix(mix, 30).message(),
              HasSubstr("offload=optimizer of 2 ranks needs zero_stage(0) of at least 1"));
}

TEST(ValidateMixTest, OnlyWeightsThatAreGatheredAreGatheredLate) {
  Mix mix = WithRecompute({30, 0, 0, 0, 0, 0});
  mix.gather_depth = 0;
  EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("gather_depth(0)"));
  mix.offload = Offload::kOptimizer;
  EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("offload=all"));
  mix.offload = Offload::kAll;
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
  mix.offload = Offload::kNone;
  mix.data_parallel = 2;
  mix.zero_stage = 3;
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
  mix.gather_depth = 2;
  EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("gather_depth(2) must be 0 to 1"));
}

TEST(ValidateMixTest, OnlyStatesOfTheOptimizerAreOffloadedInPart) {
  Mix mix = WithRecompute({30, 0, 0, 0, 0, 0});
  mix.offload_percent = 50;
  EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("offload_percent(50)"));
  mix.offload = Offload::kAll;
  EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("it needs offload=optimizer"));
  mix.offload = Offload::kOptimizer;
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
  for (int64_t percent : {0, 101}) {
    mix.offload_percent = percent;
    EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("must be 1 to 100"));
  }
}

TEST(ValidateMixTest, SgdHasNoStateToStore) {
  Mix mix = WithRecompute({30, 0, 0, 0, 0, 0});
  mix.optimizer = Optimizer::kSgd;
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
  mix.optimizer_state = OptimizerState::kInt8;
  EXPECT_THAT(ValidateMix(mix, 30).message(), HasSubstr("optimizer_state=int8: optimizer=sgd"));
  mix.optimizer_state = OptimizerState::kBf16;
  EXPECT_FALSE(ValidateMix(mix, 30).ok());
  mix.precision = Precision::kBf16;  // says that bf16 weights have no fp32 master
  EXPECT_TRUE(ValidateMix(mix, 30).ok());
}

TEST(RungOfLayerTest, FirstLayersTakeTheLastRungs) {
  const Mix mix = WithRecompute({2, 0, 1, 0, 3, 1});
  const Rung expected[] = {Rung::kHost,  Rung::kBlock, Rung::kBlock, Rung::kBlock,
                           Rung::kNorms, Rung::kKeep,  Rung::kKeep};
  for (int64_t layer = 0; layer < 7; ++layer)
    EXPECT_EQ(RungOfLayer(mix, layer), expected[layer]) << layer;
}

}  // namespace
}  // namespace tunesmith::planner
