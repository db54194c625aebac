#include "trainer/ops/layer_norm.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

constexpr double kEpsilon = 1e-5;

template <typename T>
struct Case {
  HostTensor<T> x, weight, bias, y, dy, dx, dweight;
  HostTensor<std::conditional_t<std::is_same_v<T, double>, double, float>> mean, rstd;

  Case(int64_t BT, int64_t C)
      : x(RandomTensor<T>({BT, C}, 1, 2.0)),
        weight(RandomTensor<T>({C}, 2)),
        bias(RandomTensor<T>({C}, 3)),
        y({BT, C}),
        dy(RandomTensor<T>({BT, C}, 4)),
        dx({BT, C}),
        dweight({C}),
        mean({BT}),
        rstd({BT}) {}

  absl::Status Forward(const OpContext& context, bool biased = true) {
    return LayerNorm(context, {.x = x,
                               .weight = weight,
                               .bias = biased ? Tensor(bias) : Tensor(),
                               .y = y,
                               .mean = mean,
                               .rstd = rstd,
                               .epsilon = kEpsilon});
  }
  absl::Status Backward(const OpContext& context, const Tensor& out, bool accumulate = false) {
    return LayerNormBackward(context, {.dy = dy,
                                       .x = x,
                                       .weight = weight,
                                       .mean = mean,
                                       .rstd = rstd,
                                       .dx = out,
                                       .accumulate = accumulate});
  }
};

template <typename T>
void TestForward(double tolerance) {
  CpuContext context;
  for (const bool biased : {true, false}) {
    Case<T> c(5, 193);
    for (int64_t i = 0; i < c.x.size(); ++i) c.x[i] += static_cast<T>(100);  // far from zero
    EXPECT_OK(c.Forward(context, biased));
    HostTensor<double> expected({5, 193});
    for (int64_t row = 0; row < 5; ++row) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < 193; ++i) mean += double(c.x[row * 193 + i]) / 193;
      for (int64_t i = 0; i < 193; ++i)
        variance += std::pow(double(c.x[row * 193 + i]) - mean, 2) / 193;
      for (int64_t i = 0; i < 193; ++i)
        expected[row * 193 + i] =
            (double(c.x[row * 193 + i]) - mean) / std::sqrt(variance + kEpsilon) * c.weight[i] +
            (biased ? c.bias[i] : 0);
    }
    ExpectClose(c.y, expected, tolerance);
  }
}

TEST(LayerNormTest, Forward) {
  TestForward<float>(1e-5);
  TestForward<double>(1e-12);
}

TEST(LayerNormTest, Gradients) {
  CpuContext context;
  Case<double> c(3, 7);
  const auto loss = [&] {
    EXPECT_OK(c.Forward(context));
    return Weigh(c.dy, c.y);
  };
  loss();
  EXPECT_OK(c.Backward(context, c.dx));
  EXPECT_OK(LayerNormBackwardWeight(
      context, {.dy = c.dy, .x = c.x, .mean = c.mean, .rstd = c.rstd, .dweight = c.dweight}));
  GradientCheck(c.x, c.dx, loss, "dx");
  GradientCheck(c.weight, c.dweight, loss, "dweight");
  loss();
  // Added to what is there, and in dy's storage.
  HostTensor<double> sum(c.dx);
  EXPECT_OK(c.Backward(context, sum, /*accumulate=*/true));
  for (int64_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], 2 * c.dx[i], 1e-12);
  EXPECT_OK(c.Backward(context, c.dy));
  ExpectClose(c.dy, c.dx, 1e-12);
}

TEST(LayerNormTest, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    Case<float> c(67, 301);
    EXPECT_OK(c.Forward(context));
    EXPECT_OK(c.Backward(context, c.dx));
    return c.dx.values;
  });
}

TEST(LayerNormTest, NamesWhatDoesNotFit) {
  CpuContext context;
  Case<float> c(3, 5), other(3, 4);
  c.bias = other.bias;
  ExpectInvalid(c.Forward(context), "layer_norm: bias is (4) f32, expected (5) f32");
  ExpectInvalid(c.Backward(context, c.dy, /*accumulate=*/true), "cannot accumulate");
}

}  // namespace
}  // namespace tunesmith::trainer
