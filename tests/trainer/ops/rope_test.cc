#include "trainer/ops/rope.h"

#include <numbers>

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

using planner::RopeScaling;
using planner::RopeScalingKind;

constexpr double kTheta = 10000.0;

template <typename T>
HostTensor<double> ExpectedX(const HostTensor<T>& x, const HostTensor<int32_t>& positions,
                             int64_t heads, int64_t D) {
  HostTensor<double> y(x.dims);
  for (int64_t i = 0; i < positions.size(); ++i) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t d = 0; d < D / 2; ++d) {
        const double frequency =
            std::pow(kTheta, -2.0 * static_cast<double>(d) / static_cast<double>(D));
        const double angle = positions[i] * frequency;
        const int64_t a = (i * heads + h) * D + d, b = a + D / 2;
        y[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
        y[b] = x[b] * std::cos(angle) + x[a] * std::sin(angle);
      }
    }
  }
  return y;
}

TEST(Rope, RotatesPairs) {
  CpuContext context;
  const auto positions = IntTensor({0, 1, 2, 0, 100, 2047});
  for (auto [heads, D] : {std::pair{1, 2}, {3, 6}, {2, 64}}) {
    auto places = positions;
    auto single = RandomTensor<float>({6, heads * D}, 1);
    const auto expected_single = ExpectedX(single, positions, heads, D);
    EXPECT_OK(Rope(
        context,
        {.x = single, .positions = places, .head_count = heads, .head_size = D, .theta = kTheta}));
    ExpectClose(single, expected_single, 5e-4, "f32");  // angles up to 2047 rounded to f32
    auto exact = RandomTensor<double>({6, heads * D}, 1);
    const auto expected = ExpectedX(exact, positions, heads, D);
    EXPECT_OK(Rope(
        context,
        {.x = exact, .positions = places, .head_count = heads, .head_size = D, .theta = kTheta}));
    ExpectClose(exact, expected, 1e-12, "f64");
  }
}

TEST(Rope, LeavesColumnsBehindTheHeads) {
  CpuContext context;
  auto positions = IntTensor({3, 1, 9});
  auto heads = RandomTensor<float>({3, 8}, 1), others = RandomTensor<float>({3, 5}, 2);
  auto x = SideBySide<float>({&heads, &others});
  for (HostTensor<float>* rotated : {&heads, &x}) {
    EXPECT_OK(Rope(
        context,
        {.x = *rotated, .positions = positions, .head_count = 2, .head_size = 4, .theta = kTheta}));
  }
  EXPECT_EQ(x.values, SideBySide<float>({&heads, &others}).values);
}

TEST(Rope, BackwardIsTheTranspose) {
  CpuContext context;
  auto positions = IntTensor({3, 1, 9});
  auto x = RandomTensor<double>({3, 8}, 1);
  const auto dy = RandomTensor<double>({3, 8}, 2);
  const auto loss = [&] {
    auto y = x;
    EXPECT_OK(
        Rope(context,
             {.x = y, .positions = positions, .head_count = 2, .head_size = 4, .theta = kTheta}));
    return Weigh(dy, y);
  };
  auto dx = dy;
  EXPECT_OK(RopeBackward(
      context,
      {.x = dx, .positions = positions, .head_count = 2, .head_size = 4, .theta = kTheta}));
  GradientCheck(x, dx, loss, "dx");
}

TEST(Rope, LinearScalingDividesFrequencies) {
  const RopeScaling scaling = {.kind = RopeScalingKind::kLinear, .factor = 4};
  const auto plain = RopeFrequencies(8, kTheta, {}), scaled = RopeFrequencies(8, kTheta, scaling);
  for (int i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 4);
}

// The three bands of the definition, with Llama 3.1's parameters.
TEST(Rope, Llama3ScalingKeepsHighFrequenciesAndDividesLowOnes) {
  const RopeScaling scaling = {.kind = RopeScalingKind::kLlama3,
                               .factor = 8,
                               .low_frequency_factor = 1,
                               .high_frequency_factor = 4,
                               .original_context_limit = 8192};
  const auto plain = RopeFrequencies(128, 500000, {}),
             scaled = RopeFrequencies(128, 500000, scaling);
  int kept = 0, divided = 0, blended = 0;
  for (int i = 0; i < 64; ++i) {
    const double wavelength = 2 * std::numbers::pi / plain[i];
    if (wavelength < 8192.0 / 4) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i]) << i;
      ++kept;
    } else if (wavelength > 8192.0) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 8) << i;
      ++divided;
    } else {
      const double smooth = (8192 / wavelength - 1) / 3;
      EXPECT_DOUBLE_EQ(scaled[i], (1 - smooth) * plain[i] / 8 + smooth * plain[i]) << i;
      ++blended;
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(divided, 0);
  EXPECT_GT(blended, 0);
}

TEST(Rope, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    auto x = RandomTensor<float>({200, 5 * 34}, 1);
    std::vector<int32_t> places(200);
    for (int i = 0; i < 200; ++i) places[i] = i;
    auto positions = IntTensor(places);
    EXPECT_OK(
        Rope(context,
             {.x = x, .positions = positions, .head_count = 5, .head_size = 34, .theta = kTheta}));
    return x.values;
  });
}

// Of heads of 6 the first 4 elements turn, as heads of 4 do; the others stay.
TEST(Rope, TurnsAPartOfEachHead) {
  CpuContext context;
  auto part = RandomTensor<double>({3, 12}, 1);
  const auto before = part;
  HostTensor<double> whole({3, 8});
  for (int64_t row = 0; row < 3; ++row)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t e = 0; e < 4; ++e) whole[row * 8 + h * 4 + e] = part[row * 12 + h * 6 + e];
  auto positions = IntTensor({0, 5, 17});
  RopeArgs args = {.x = part,
                   .positions = positions,
                   .head_count = 2,
                   .head_size = 6,
                   .rotary_size = 4,
                   .theta = 100.0};
  EXPECT_OK(Rope(context, args));
  EXPECT_OK(
      Rope(context,
           {.x = whole, .positions = positions, .head_count = 2, .head_size = 4, .theta = 100.0}));
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t e = 0; e < 6; ++e) {
        const int64_t at = row * 12 + h * 6 + e;
        EXPECT_EQ(part[at], e < 4 ? whole[row * 8 + h * 4 + e] : before[at]);
      }
    }
  }
  EXPECT_OK(RopeBackward(context, args));
  ExpectClose(part, before, 1e-14);
}

// Frequencies that turn often within the original context stay, those that turn seldom are divided.
TEST(Rope, YarnBlendsByBand) {
  const planner::RopeScaling scaling = {
      .kind = planner::RopeScalingKind::kYarn, .factor = 4, .original_context_limit = 4096};
  const auto plain = RopeFrequencies(128, 10000, {}), scaled = RopeFrequencies(128, 10000, scaling);
  EXPECT_EQ(scaled.front(), plain.front());
  EXPECT_NEAR(scaled.back(), plain.back() / 4, 1e-15);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_LE(scaled[i], plain[i]);
    EXPECT_GE(scaled[i], plain[i] / 4 * (1 - 1e-12));
  }
  EXPECT_NEAR(RopeAmplitude(scaling), 0.1 * std::log(4.0) + 1, 1e-15);
  EXPECT_EQ(RopeAmplitude(RopeScaling()), 1.0);
}

// One factor for each pair, by whether the context is beyond the original one.
TEST(Rope, LongRopeDividesByTheListThatFitsTheContext) {
  const RopeScaling scaling = {.kind = RopeScalingKind::kLongRope,
                               .factor = 32,
                               .original_context_limit = 4096,
                               .short_factors = {1, 1.5, 2, 4},
                               .long_factors = {2, 8, 32, 64}};
  const auto plain = RopeFrequencies(8, kTheta, {});
  const auto within = RopeFrequencies(8, kTheta, scaling, 4096);
  const auto beyond = RopeFrequencies(8, kTheta, scaling, 4097);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(within[i], plain[i] / scaling.short_factors[i]);
    EXPECT_DOUBLE_EQ(beyond[i], plain[i] / scaling.long_factors[i]);
  }
  EXPECT_NEAR(RopeAmplitude(scaling), std::sqrt(1 + 5.0 / 12), 1e-15);  // 32 = 2^5, 4096 = 2^12
}

TEST(Rope, NamesWhatDoesNotFit) {
  CpuContext context;
  auto x = RandomTensor<float>({3, 8}, 1);
  auto positions = IntTensor({0, 1});
  const RopeScaling wrong = {
      .kind = RopeScalingKind::kLongRope, .short_factors = {1, 2}, .long_factors = {1}};
  ExpectInvalid(Rope(context, {.x = x,
                               .positions = positions,
                               .head_count = 2,
                               .head_size = 4,
                               .theta = kTheta,
                               .scaling = &wrong}),
                "LongRoPE has not one factor for each rotated pair");
  ExpectInvalid(
      Rope(context,
           {.x = x, .positions = positions, .head_count = 2, .head_size = 4, .theta = kTheta}),
      "rope: positions is (2) i32, expected (3) i32");
  ExpectInvalid(
      Rope(context,
           {.x = x, .positions = positions, .head_count = 3, .head_size = 4, .theta = kTheta}),
      "rope: x");
  ExpectInvalid(
      RopeBackward(
          context,
          {.x = x, .positions = positions, .head_count = 8, .head_size = 1, .theta = kTheta}),
      "rope_backward: rotary_size");
}

}  // namespace
}  // namespace tunesmith::trainer
