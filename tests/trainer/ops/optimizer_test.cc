#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/adamw.h"
#include "trainer/ops/gradient_norm.h"

namespace tunesmith::trainer {
namespace {

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

TEST(AdamW, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> p({4}), wrong({5}), clip({1});
  auto scalars = StepScalars(1);
  ExpectInvalid(AdamW(context, {.gradient = wrong,
                                .clip_factor = clip,
                                .step_scalars = scalars,
                                .parameter = p,
                                .moment1 = p,
                                .moment2 = p}),
                "adamw: gradient is (5) f32, expected (4) f32");
  ExpectInvalid(AdamW(context, {.gradient = p,
                                .clip_factor = clip,
                                .step_scalars = p,
                                .parameter = p,
                                .moment1 = p,
                                .moment2 = p}),
                "adamw: step_scalars");
  ExpectInvalid(AdamW(context, {.gradient = p,
                                .clip_factor = clip,
                                .step_scalars = scalars,
                                .parameter = p,
                                .moment1 = p,
                                .moment2 = p,
                                .master = wrong}),
                "adamw: master");
  HostTensor<double> sum({1});
  ExpectInvalid(SumSquares(context, {.x = p, .sum = p}), "sum_squares: sum");
  ExpectInvalid(
      ClipFactor(context,
                 {.sum = sum, .step_scalars = scalars, .clip_factor = p, .gradient_norm = clip}),
      "clip_factor: clip_factor");
}

}  // namespace
}  // namespace tunesmith::trainer
