#include <bit>

#include "common/random.h"
#include "planner/program/program.h"
#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/adamw.h"
#include "trainer/ops/dynamic_map.h"
#include "trainer/ops/gradient_norm.h"
#include "trainer/ops/sgd.h"

namespace tunesmith::trainer {
namespace {

using cpu::Bf16;

HostTensor<float> StepScalars(int step, double max_gradient_norm = 1.0) {
  HostTensor<float> scalars({planner::kStepScalarCount});
  scalars[planner::kLearningRate] = 1e-2f;
  scalars[planner::kBeta1] = 0.9f;
  scalars[planner::kBeta2] = 0.95f;
  scalars[planner::kBiasCorrection1] = static_cast<float>(1 - std::pow(0.9, step));
  scalars[planner::kBiasCorrection2] = static_cast<float>(1 - std::pow(0.95, step));
  scalars[planner::kEpsilon] = 1e-8f;
  scalars[planner::kWeightDecay] = 0.1f;
  scalars[planner::kMaxGradientNorm] = static_cast<float>(max_gradient_norm);
  return scalars;
}

TEST(SumSquares, AddsToTheSum) {
  CpuContext context;
  auto x = RandomTensor<float>({70001}, 1);
  HostTensor<double> sum({1}, 5.0);
  double expected = 5.0;
  for (float value : x.values) expected += static_cast<double>(value) * value;
  EXPECT_OK(SumSquares(context, {.x = x, .sum = sum}));
  EXPECT_NEAR(sum[0], expected, 1e-12 * expected);
  ExpectSameForAnyThreadCount<double>([&](const OpContext& any) {
    HostTensor<double> total({1});
    EXPECT_OK(SumSquares(any, {.x = x, .sum = total}));
    return total.values;
  });
}

float FactorFor(double squared_norm, double max_norm, float* norm = nullptr) {
  CpuContext context;
  HostTensor<double> sum({1}, squared_norm);
  HostTensor<float> factor({1}), gradient_norm({1});
  auto scalars = StepScalars(1, max_norm);
  EXPECT_OK(ClipFactor(context, {.sum = sum,
                                 .step_scalars = scalars,
                                 .clip_factor = factor,
                                 .gradient_norm = gradient_norm}));
  if (norm != nullptr) *norm = gradient_norm[0];
  return factor[0];
}

TEST(ClipFactor, AsPyTorch) {
  float norm = 0;
  EXPECT_FLOAT_EQ(FactorFor(16.0, 1.0, &norm), static_cast<float>(1.0 / (4.0 + 1e-6)));
  EXPECT_EQ(norm, 4.0f);
  EXPECT_EQ(FactorFor(0.25, 1.0), 1.0f);
  EXPECT_EQ(FactorFor(0.0, 1.0), 1.0f);
  EXPECT_EQ(FactorFor(16.0, 0.0), 1.0f);
  EXPECT_EQ(FactorFor(16.0, -1.0), 1.0f);
  EXPECT_EQ(FactorFor(INFINITY, 1.0), 0.0f);
  EXPECT_TRUE(std::isnan(FactorFor(NAN, 1.0)));
}

// torch.optim.AdamW's steps as its documentation lists them, in f64.
struct Reference {
  double p, m = 0, v = 0;

  void Step(double g, int step, bool decays) {
    const double learning_rate = 1e-2, beta1 = 0.9, beta2 = 0.95;
    if (decays) p -= learning_rate * 0.1 * p;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const double m_hat = m / (1 - std::pow(beta1, step)), v_hat = v / (1 - std::pow(beta2, step));
    p -= learning_rate * m_hat / (std::sqrt(v_hat) + 1e-8);
  }
};

template <typename T>
void TestAdamW(bool decays, double tolerance) {
  CpuContext context;
  constexpr int64_t kCount = 20003;
  auto parameter = RandomTensor<T>({kCount}, 1);
  HostTensor<T> m({kCount}), v({kCount}), clip({1}, T(0.5));
  std::vector<Reference> reference;
  for (T p : parameter.values) reference.push_back({.p = static_cast<double>(p)});
  for (int step = 1; step <= 3; ++step) {
    auto gradient = RandomTensor<T>({kCount}, 10 + step);
    auto scalars = StepScalars(step);
    EXPECT_OK(AdamW(context, {.gradient = gradient,
                              .clip_factor = clip,
                              .step_scalars = scalars,
                              .parameter = parameter,
                              .moment1 = m,
                              .moment2 = v,
                              .decays = decays}));
    for (int64_t i = 0; i < kCount; ++i)
      reference[i].Step(0.5 * static_cast<double>(gradient[i]), step, decays);
  }
  for (int64_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(parameter[i], reference[i].p, tolerance) << i;
    ASSERT_NEAR(m[i], reference[i].m, tolerance) << i;
    ASSERT_NEAR(v[i], reference[i].v, tolerance) << i;
  }
}

// The step scalars are f32, so even the f64 update knows its constants to 1e-7 only.
TEST(AdamW, AsPyTorch) {
  for (bool decays : {false, true}) {
    TestAdamW<float>(decays, 2e-6);
    TestAdamW<double>(decays, 1e-6);
  }
}

TEST(AdamW, UpdatesTheMasterAndCopiesIt) {
  CpuContext context;
  auto parameter = RandomTensor<float>({9}, 1), master = RandomTensor<float>({9}, 2);
  auto plain = master, gradient = RandomTensor<float>({9}, 3);
  HostTensor<float> m({9}), v({9}), m2({9}), v2({9}), clip({1}, 1.0f);
  auto scalars = StepScalars(1);
  EXPECT_OK(AdamW(context, {.gradient = gradient,
                            .clip_factor = clip,
                            .step_scalars = scalars,
                            .parameter = parameter,
                            .moment1 = m,
                            .moment2 = v,
                            .master = master,
                            .decays = true}));
  EXPECT_OK(AdamW(context, {.gradient = gradient,
                            .clip_factor = clip,
                            .step_scalars = scalars,
                            .parameter = plain,
                            .moment1 = m2,
                            .moment2 = v2,
                            .decays = true}));
  EXPECT_EQ(parameter.values, plain.values);
  EXPECT_EQ(master.values, plain.values);
}

// torch.optim.SGD's step without momentum as its documentation lists it, in f64.
template <typename T>
void TestSgd(bool decays, double tolerance) {
  CpuContext context;
  constexpr int64_t kCount = 20003;
  auto parameter = RandomTensor<T>({kCount}, 1);
  HostTensor<T> clip({1}, T(0.5));
  std::vector<double> reference(parameter.values.begin(), parameter.values.end());
  for (int step = 1; step <= 3; ++step) {
    auto gradient = RandomTensor<T>({kCount}, 10 + step);
    auto scalars = StepScalars(step);
    EXPECT_OK(Sgd(context, {.gradient = gradient,
                            .clip_factor = clip,
                            .step_scalars = scalars,
                            .parameter = parameter,
                            .decays = decays}));
    for (int64_t i = 0; i < kCount; ++i) {
      const double decay = decays ? 0.1 * reference[i] : 0.0;
      reference[i] -= 1e-2 * (0.5 * static_cast<double>(gradient[i]) + decay);
    }
  }
  for (int64_t i = 0; i < kCount; ++i) ASSERT_NEAR(parameter[i], reference[i], tolerance) << i;
}

TEST(Sgd, AsPyTorch) {
  for (bool decays : {false, true}) {
    TestSgd<float>(decays, 2e-6);
    TestSgd<double>(decays, 1e-6);
  }
}

TEST(Sgd, UpdatesTheMasterAndCopiesIt) {
  CpuContext context;
  HostTensor<Bf16> parameter({700});
  auto master = RandomTensor<float>({700}, 2), gradient = RandomTensor<float>({700}, 3);
  auto plain = master;
  HostTensor<float> clip({1}, 1.0f);
  auto scalars = StepScalars(1);
  EXPECT_OK(Sgd(context, {.gradient = gradient,
                          .clip_factor = clip,
                          .step_scalars = scalars,
                          .parameter = parameter,
                          .master = master,
                          .decays = true}));
  EXPECT_OK(Sgd(context, {.gradient = gradient,
                          .clip_factor = clip,
                          .step_scalars = scalars,
                          .parameter = plain,
                          .decays = true}));
  for (int64_t i = 0; i < 700; ++i) {
    ASSERT_NEAR(master[i], plain[i], 1e-6);
    ASSERT_EQ(parameter[i].bits, Bf16FromFloat(master[i]));
  }
}

// How an optimizer's tensors are stored.
struct Stored {
  DType parameter, gradient, moments;
  bool has_master;
};

// Tensors of one AdamW update, all starting from the same numbers.
struct Update {
  static constexpr int64_t kCount = 20003, kBlocks = (kCount + 255) / 256;
  Stored stored;
  HostTensor<float> wide_parameter = RandomTensor<float>({kCount}, 1), master = wide_parameter;
  HostTensor<Bf16> parameter{{kCount}}, gradient{{kCount}}, m{{kCount}}, v{{kCount}};
  HostTensor<float> wide_gradient{{kCount}}, wide_m{{kCount}}, wide_v{{kCount}};
  HostTensor<uint8_t> m_codes{{kCount}}, v_codes{{kCount}};
  HostTensor<float> m_scale{{kBlocks}}, v_scale{{kBlocks}}, clip{{1}, 0.5f};
  HostTensor<uint64_t> key{{1}};

  explicit Update(Stored how, uint32_t seed = 2) : stored(how) {
    const auto random = RandomTensor<float>({kCount}, seed);
    for (int64_t i = 0; i < kCount; ++i) {
      gradient[i] = Bf16(random[i]);
      wide_gradient[i] = float(gradient[i]);
      parameter[i] = Bf16(wide_parameter[i]);
      if (stored.parameter == DType::kBF16 && !stored.has_master)
        wide_parameter[i] = float(parameter[i]);
    }
  }

  Tensor Pick(DType dtype, HostTensor<float>& wide, HostTensor<Bf16>& narrow) {
    return dtype == DType::kF32 ? wide.tensor() : narrow.tensor();
  }

  absl::Status Step(const OpContext& context, int step, int64_t instance = 0) {
    auto scalars = StepScalars(step);
    key[0] = planner::StepKey(5, step);
    const bool coded = stored.moments == DType::kU8;
    AdamWArgs args{.gradient = Pick(stored.gradient, wide_gradient, gradient),
                   .clip_factor = clip,
                   .step_scalars = scalars,
                   .step_key = key,
                   .parameter = Pick(stored.parameter, wide_parameter, parameter),
                   .moment1 = coded ? m_codes.tensor() : Pick(stored.moments, wide_m, m),
                   .moment2 = coded ? v_codes.tensor() : Pick(stored.moments, wide_v, v),
                   .decays = true,
                   .parameter_key = 99,
                   .instance = instance};
    if (coded) args.moment1_scale = m_scale, args.moment2_scale = v_scale;
    if (stored.has_master) args.master = master;
    return AdamW(context, args);
  }

  double Parameter(int64_t i) const {
    return stored.parameter == DType::kF32 ? wide_parameter[i] : float(parameter[i]);
  }
  double Moment1(int64_t i) const {
    if (stored.moments == DType::kU8) return kSignedMap.values[m_codes[i]] * m_scale[i / 256];
    return stored.moments == DType::kF32 ? wide_m[i] : float(m[i]);
  }
  double Moment2(int64_t i) const {
    if (stored.moments == DType::kU8) return kUnsignedMap.values[v_codes[i]] * v_scale[i / 256];
    return stored.moments == DType::kF32 ? wide_v[i] : float(v[i]);
  }
  // Every bit that the update wrote.
  std::vector<uint32_t> Bits() const {
    std::vector<uint32_t> bits;
    for (int64_t i = 0; i < kCount; ++i) {
      for (uint32_t value :
           {uint32_t{parameter[i].bits}, uint32_t{m[i].bits}, uint32_t{v[i].bits},
            uint32_t{m_codes[i]}, uint32_t{v_codes[i]}, std::bit_cast<uint32_t>(wide_parameter[i])})
        bits.push_back(value);
    }
    return bits;
  }
};

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16, kU8 = DType::kU8;
constexpr Stored kAllStored[] = {
    {kF32, kF32, kBF16, false}, {kF32, kF32, kU8, false},     {kF32, kBF16, kF32, false},
    {kF32, kBF16, kU8, false},  {kBF16, kF32, kF32, true},    {kBF16, kBF16, kF32, true},
    {kBF16, kF32, kU8, true},   {kBF16, kBF16, kBF16, false}, {kBF16, kF32, kBF16, false}};

// The first update from zero moments is that of f32 up to how its results are stored: bf16 lies within one step of 2^-7 (stochastically, to
// either side) or half of it (to nearest), a code within half a part of its decade: 0.9/128 of the scale for 64 parts, 0.9/256 for 128.
TEST(AdamW, EveryStorageHoldsTheSameUpdate) {
  for (const Stored& stored : kAllStored) {
    CpuContext context;
    Update update(stored), plain({kF32, kF32, kF32, false});
    if (stored.parameter == kBF16 && !stored.has_master)
      plain.wide_parameter = update.wide_parameter;
    EXPECT_OK(update.Step(context, 1));
    EXPECT_OK(plain.Step(context, 1));
    for (int64_t i = 0; i < Update::kCount; ++i) {
      const double p = plain.Parameter(i), m = plain.Moment1(i), v = plain.Moment2(i);
      const double step = stored.has_master ? 0x1p-8 : 0x1p-7;
      ASSERT_NEAR(update.Parameter(i), p,
                  1e-6 + (stored.parameter == kBF16 ? step : 0) * std::abs(p));
      const double m_scale = stored.moments == kU8 ? update.m_scale[i / 256] * 0.9 / 128 : 0;
      const double v_scale = stored.moments == kU8 ? update.v_scale[i / 256] * 0.9 / 256 : 0;
      const double relative = stored.moments == kBF16 ? 0x1p-7 : 1e-6;
      ASSERT_NEAR(update.Moment1(i), m, 1.0001 * m_scale + relative * std::abs(m)) << i;
      ASSERT_NEAR(update.Moment2(i), v, 1.0001 * v_scale + relative * std::abs(v)) << i;
      ASSERT_EQ(update.Moment2(i) > 0, v > 0) << i;
    }
  }
}

TEST(AdamW, SameBitsForAnyThreadCount) {
  for (const Stored& stored : kAllStored) {
    ExpectSameForAnyThreadCount<uint32_t>([&](const OpContext& context) {
      Update update(stored);
      for (int step = 1; step <= 3; ++step) EXPECT_OK(update.Step(context, step));
      return update.Bits();
    });
  }
}

// The random bits belong to (seed, step, parameter, instance, element).
TEST(AdamW, OtherInstancesAndStepsRoundOtherwise) {
  CpuContext context;
  const Stored stored{kBF16, kBF16, kBF16, false};
  Update first(stored), second(stored), again(stored);
  EXPECT_OK(first.Step(context, 1, 0));
  EXPECT_OK(second.Step(context, 1, 1));
  EXPECT_OK(again.Step(context, 1, 0));
  EXPECT_EQ(first.Bits(), again.Bits());
  int64_t different = 0;
  for (int64_t i = 0; i < Update::kCount; ++i) different += first.m[i].bits != second.m[i].bits;
  // Two of one value rounded by coins of probability f differ in 2 f (1 - f) of all cases: a third, where f is uniform.
  EXPECT_NEAR(static_cast<double>(different) / Update::kCount, 1.0 / 3, 0.03);
}

// Rounding is to one of the two neighbours and right on average: the mean of n numbers in steps of 1 has a standard error of sqrt(f (1 - f) / n).
TEST(StochasticRounding, IsUnbiased) {
  constexpr int64_t kCount = 1 << 18;
  for (float fraction : {0.0f, 0.03125f, 0.25f, 0.5f, 0.9f}) {
    for (float sign : {1.0f, -1.0f}) {
      const float below = 1.5f, step = 0x1p-7f, value = sign * (below + fraction * step);
      double sum = 0;
      for (int64_t i = 0; i < kCount; ++i) {
        const auto random = static_cast<uint16_t>(RandomBits(planner::StepKey(1, 2), i) >> 16);
        const float rounded = FloatFromBf16(Bf16FromFloatStochastic(value, random));
        const bool up = rounded == sign * (below + step);
        ASSERT_TRUE(up || rounded == sign * below) << rounded;
        sum += up;
      }
      const double error = std::sqrt(fraction * (1 - fraction) / kCount) + 0x1p-16;
      EXPECT_NEAR(sum / kCount, fraction, 5 * error) << value;
    }
  }
}

TEST(StochasticRounding, KeepsWhatIsNotFinite) {
  for (const uint16_t random : {uint16_t{0}, uint16_t{0x7fff}, uint16_t{0xffff}}) {
    EXPECT_EQ(FloatFromBf16(Bf16FromFloatStochastic(INFINITY, random)), INFINITY);
    EXPECT_EQ(FloatFromBf16(Bf16FromFloatStochastic(-INFINITY, random)), -INFINITY);
    EXPECT_TRUE(std::isnan(FloatFromBf16(Bf16FromFloatStochastic(NAN, random))));
    EXPECT_EQ(FloatFromBf16(Bf16FromFloatStochastic(0.0f, random)), 0.0f);
  }
}

// A weight that every update leaves below half of a bf16 step: to nearest it would never move.
TEST(StochasticRounding, SmallUpdatesAddUp) {
  CpuContext context;
  constexpr int64_t kCount = 4096;
  HostTensor<Bf16> parameter({kCount}, Bf16(1.0f));
  HostTensor<float> gradient({kCount}, 0.01f), clip({1}, 1.0f);
  HostTensor<uint64_t> key({1});
  for (int step = 1; step <= 100; ++step) {
    auto scalars = StepScalars(step);
    key[0] = planner::StepKey(3, step);
    EXPECT_OK(Sgd(context, {.gradient = gradient,
                            .clip_factor = clip,
                            .step_scalars = scalars,
                            .step_key = key,
                            .parameter = parameter,
                            .parameter_key = 7}));
  }
  double sum = 0;
  for (const Bf16 value : parameter.values) sum += float(value);
  // 100 steps of 1e-4. Below 1 bf16 steps by 2^-8: a weight's deviation after n coins is about 2^-8 sqrt(n p), p = 1e-4 x 2^8.
  EXPECT_NEAR(sum / kCount, 0.99, 5 * 0x1p-8 * std::sqrt(100 * 1e-4 * 256) / std::sqrt(kCount));
}

TEST(DynamicMap, IsAscendingAndSymmetric) {
  for (const DynamicMap* map : {&kSignedMap, &kUnsignedMap}) {
    for (int code = 1; code < 256; ++code) ASSERT_LT(map->values[code - 1], map->values[code]);
    EXPECT_EQ(map->values[255], 1.0f);
  }
  EXPECT_EQ(kSignedMap.values[127], 0.0f);
  EXPECT_EQ(kUnsignedMap.values[0], 0.0f);
  for (int i = 1; i <= 127; ++i) EXPECT_EQ(kSignedMap.values[127 + i], -kSignedMap.values[127 - i]);
  EXPECT_FLOAT_EQ(kSignedMap.values[128], 0.55e-6f);
  EXPECT_FLOAT_EQ(kUnsignedMap.values[1], 0.325e-6f);
}

TEST(DynamicMap, CodesAreTheNearest) {
  for (int i = -40000; i <= 40000; ++i) {
    const float t = static_cast<float>(i) / 40000, x = t * t * t;
    for (const DynamicMap* map : {&kSignedMap, &kUnsignedMap}) {
      float nearest = INFINITY;
      for (float value : map->values) nearest = std::min(nearest, std::abs(value - x));
      const float found = std::abs(map->values[NearestCode(map->midpoints.data(), x)] - x);
      ASSERT_LE(found, nearest + 0x1p-23f * std::abs(x)) << x;
    }
  }
}

TEST(DynamicMap, OnlyZeroBecomesZeroWherePositive) {
  EXPECT_EQ(NearestPositiveCode(kUnsignedMap.midpoints.data(), 0.0f), 0);
  EXPECT_EQ(NearestPositiveCode(kUnsignedMap.midpoints.data(), 1e-30f), 1);
  EXPECT_EQ(NearestCode(kUnsignedMap.midpoints.data(), 1e-30f), 0);
}

TEST(AdamW, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> p({4}), wrong({5}), clip({1});
  auto scalars = StepScalars(1);
  const AdamWArgs fits = {.gradient = p,
                          .clip_factor = clip,
                          .step_scalars = scalars,
                          .parameter = p,
                          .moment1 = p,
                          .moment2 = p};
  AdamWArgs args = fits;
  args.gradient = wrong;
  ExpectInvalid(AdamW(context, args), "adamw: gradient is (5) f32, expected (4) f32");
  args = fits;
  args.step_scalars = p;
  ExpectInvalid(AdamW(context, args), "adamw: step_scalars");
  args = fits;
  args.master = wrong;
  ExpectInvalid(AdamW(context, args), "adamw: master");
  HostTensor<uint8_t> codes({4});
  args = fits;
  args.moment1 = args.moment2 = codes;
  ExpectInvalid(AdamW(context, args), "adamw: moment1_scale");
  HostTensor<Bf16> narrow({4});
  ExpectInvalid(
      Sgd(context,
          {.gradient = p, .clip_factor = clip, .step_scalars = scalars, .parameter = narrow}),
      "sgd: step_key");
  HostTensor<double> sum({1});
  ExpectInvalid(SumSquares(context, {.x = p, .sum = p}), "sum_squares: sum");
  ExpectInvalid(
      ClipFactor(context,
                 {.sum = sum, .step_scalars = scalars, .clip_factor = p, .gradient_norm = clip}),
      "clip_factor: clip_factor");
}

}  // namespace
}  // namespace tunesmith::trainer
