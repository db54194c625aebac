#include "trainer/ops/cross_entropy.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

template <typename T>
double ExpectedLoss(const HostTensor<T>& logits, const HostTensor<int32_t>& labels) {
  const int64_t V = logits.dims[1];
  double loss = 0;
  for (int64_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    double sum = 0;
    for (int64_t j = 0; j < V; ++j) sum += std::exp(static_cast<double>(logits[i * V + j]));
    loss += std::log(sum) - logits[i * V + labels[i]];
  }
  return loss;
}

template <typename T>
void TestForward(double tolerance) {
  CpuContext context;
  auto logits = RandomTensor<T>({9, 1031}, 1, 3.0);
  auto labels = IntTensor({0, 1030, -1, 5, 5, -100, 77, 1, 2});
  HostTensor<double> loss_sum({1}, 10.0);
  const auto before = logits.values;
  EXPECT_OK(CrossEntropy(context, {.logits = logits, .labels = labels, .loss_sum = loss_sum}));
  const double expected = ExpectedLoss(logits, labels) + 10.0;
  EXPECT_NEAR(loss_sum[0], expected, tolerance * expected);
  EXPECT_EQ(logits.values, before);
  HostTensor<T> loss_scale({1}, T{1});
  HostTensor<double> in_place_sum({1}, 10.0);
  EXPECT_OK(CrossEntropyInPlace(
      context,
      {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = in_place_sum}));
  EXPECT_NEAR(in_place_sum[0], expected, tolerance * expected);
}

TEST(CrossEntropy, Forward) {
  TestForward<float>(1e-6);
  TestForward<double>(1e-13);
}

TEST(CrossEntropy, Gradients) {
  CpuContext context;
  auto logits = RandomTensor<double>({4, 7}, 1);
  auto labels = IntTensor({3, -1, 0, 6});
  HostTensor<double> loss_scale({1}, 0.25);
  const auto loss = [&] {
    HostTensor<double> sum({1});
    EXPECT_OK(CrossEntropy(context, {.logits = logits, .labels = labels, .loss_sum = sum}));
    return sum[0] * loss_scale[0];
  };
  auto dlogits = logits;
  HostTensor<double> sum({1});
  EXPECT_OK(CrossEntropyInPlace(
      context, {.logits = dlogits, .labels = labels, .loss_scale = loss_scale, .loss_sum = sum}));
  GradientCheck(logits, dlogits, loss, "dlogits");
  for (int64_t j = 0; j < 7; ++j) EXPECT_EQ(dlogits[7 + j], 0.0);
}

TEST(CrossEntropy, AllLabelsIgnored) {
  CpuContext context;
  auto logits = RandomTensor<float>({3, 5}, 1);
  auto labels = IntTensor({-1, -1, -1});
  HostTensor<float> loss_scale({1}, INFINITY);  // 1 / no tokens
  HostTensor<double> sum({1});
  EXPECT_OK(CrossEntropyInPlace(
      context, {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = sum}));
  EXPECT_EQ(sum[0], 0.0);
  EXPECT_EQ(logits.values, std::vector<float>(15, 0.0f));
}

TEST(CrossEntropy, SurvivesLargeLogits) {
  CpuContext context;
  HostTensor<float> logits({1, 3}), loss_scale({1}, 1.0f);
  logits.values = {1e4f, -1e4f, 0.0f};
  auto labels = IntTensor({1});
  HostTensor<double> sum({1});
  EXPECT_OK(CrossEntropyInPlace(
      context, {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = sum}));
  EXPECT_EQ(sum[0], 2e4);
  EXPECT_EQ(logits.values, (std::vector<float>{1, -1, 0}));
}

TEST(CrossEntropy, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<double>([](const OpContext& context) {
    auto logits = RandomTensor<float>({301, 97}, 1);
    std::vector<int32_t> label(301);
    for (int i = 0; i < 301; ++i) label[i] = i % 98 - 1;
    auto labels = IntTensor(label);
    HostTensor<float> loss_scale({1}, 0.1f);
    HostTensor<double> sum({1});
    EXPECT_OK(CrossEntropyInPlace(
        context, {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = sum}));
    std::vector<double> all(logits.values.begin(), logits.values.end());
    all.push_back(sum[0]);
    return all;
  });
}

TEST(CrossEntropy, NamesWhatDoesNotFit) {
  CpuContext context;
  auto logits = RandomTensor<float>({3, 5}, 1);
  auto labels = IntTensor({0, 5, 0});
  HostTensor<double> sum({1});
  HostTensor<float> short_sum({1});
  ExpectInvalid(CrossEntropy(context, {.logits = logits, .labels = labels, .loss_sum = sum}),
                "cross_entropy: labels[1] is 5, the vocabulary has 5 tokens");
  ExpectInvalid(CrossEntropy(context, {.logits = logits, .labels = labels, .loss_sum = short_sum}),
                "cross_entropy: loss_sum is (1) f32, expected (1) f64");
  ExpectInvalid(
      CrossEntropyInPlace(context,
                          {.logits = logits, .labels = labels, .loss_scale = {}, .loss_sum = sum}),
      "cross_entropy_in_place: loss_scale has no storage");
}

}  // namespace
}  // namespace tunesmith::trainer
