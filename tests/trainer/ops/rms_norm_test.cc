#include "trainer/ops/rms_norm.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

constexpr double kEpsilon = 1e-5;

template <typename T>
struct Case {
  int64_t BT, C;
  HostTensor<T> x = RandomTensor<T>({BT, C}, 1), weight = RandomTensor<T>({C}, 2);
  HostTensor<T> dy = RandomTensor<T>({BT, C}, 3);
  HostTensor<T> y{{BT, C}}, rstd{{BT}}, dx{{BT, C}}, dweight{{C}};

  Case(int64_t rows, int64_t columns) : BT(rows), C(columns) {}

  absl::Status Forward(const OpContext& context) {
    return RmsNorm(context, {.x = x, .weight = weight, .y = y, .rstd = rstd, .epsilon = kEpsilon});
  }
  absl::Status Backward(const OpContext& context, bool accumulate = false) {
    return RmsNormBackward(
        context,
        {.dy = dy, .x = x, .weight = weight, .rstd = rstd, .dx = dx, .accumulate = accumulate});
  }
  absl::Status BackwardWeight(const OpContext& context, bool accumulate = false) {
    return RmsNormBackwardWeight(
        context, {.dy = dy, .x = x, .rstd = rstd, .dweight = dweight, .accumulate = accumulate});
  }
};

template <typename T>
HostTensor<double> ExpectedY(const Case<T>& c) {
  HostTensor<double> y({c.BT, c.C});
  for (int64_t i = 0; i < c.BT; ++i) {
    double squares = 0;
    for (int64_t j = 0; j < c.C; ++j) squares += std::pow(static_cast<double>(c.x[i * c.C + j]), 2);
    const double norm = std::sqrt(squares / static_cast<double>(c.C) + kEpsilon);
    for (int64_t j = 0; j < c.C; ++j) y[i * c.C + j] = c.x[i * c.C + j] / norm * c.weight[j];
  }
  return y;
}

TEST(RmsNorm, ForwardAtOddSizes) {
  CpuContext context;
  for (auto [BT, C] : {std::pair{1, 1}, {5, 37}, {130, 259}, {0, 4}}) {
    Case<float> single(BT, C);
    EXPECT_OK(single.Forward(context));
    ExpectClose(single.y, ExpectedY(single), 1e-6, "f32");
    Case<double> exact(BT, C);
    EXPECT_OK(exact.Forward(context));
    ExpectClose(exact.y, ExpectedY(exact), 1e-14, "f64");
  }
}

TEST(RmsNorm, ForwardInPlace) {
  CpuContext context;
  Case<float> c(5, 37);
  const auto expected = ExpectedY(c);
  EXPECT_OK(RmsNorm(context,
                    {.x = c.x, .weight = c.weight, .y = c.x, .rstd = c.rstd, .epsilon = kEpsilon}));
  ExpectClose(c.x, expected, 1e-6);
}

TEST(RmsNorm, Gradients) {
  CpuContext context;
  Case<double> c(4, 11);
  const auto loss = [&] {
    EXPECT_OK(c.Forward(context));
    return Weigh(c.dy, c.y);
  };
  loss();
  EXPECT_OK(c.Backward(context));
  EXPECT_OK(c.BackwardWeight(context));
  GradientCheck(c.x, c.dx, loss, "dx");
  GradientCheck(c.weight, c.dweight, loss, "dweight");
}

TEST(RmsNorm, Accumulates) {
  CpuContext context;
  Case<double> c(3, 7);
  EXPECT_OK(c.Forward(context));
  EXPECT_OK(c.Backward(context));
  EXPECT_OK(c.BackwardWeight(context));
  HostTensor<double> dx = c.dx, dweight = c.dweight;
  EXPECT_OK(c.Backward(context, true));
  EXPECT_OK(c.BackwardWeight(context, true));
  for (double& value : dx.values) value *= 2;
  for (double& value : dweight.values) value *= 2;
  ExpectClose(c.dx, dx, 1e-14);
  ExpectClose(c.dweight, dweight, 1e-14);
}

TEST(RmsNorm, BackwardMayOverwriteDy) {
  CpuContext context;
  Case<double> c(3, 7);
  EXPECT_OK(c.Forward(context));
  EXPECT_OK(c.Backward(context));
  EXPECT_OK(RmsNormBackward(
      context, {.dy = c.dy, .x = c.x, .weight = c.weight, .rstd = c.rstd, .dx = c.dy}));
  EXPECT_EQ(c.dy.values, c.dx.values);
}

TEST(RmsNorm, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    Case<float> c(97, 203);
    EXPECT_OK(c.Forward(context));
    EXPECT_OK(c.BackwardWeight(context));
    EXPECT_OK(c.Backward(context, true));
    auto all = c.y.values;
    all.insert(all.end(), c.dweight.values.begin(), c.dweight.values.end());
    all.insert(all.end(), c.dx.values.begin(), c.dx.values.end());
    return all;
  });
}

TEST(RmsNorm, NamesWhatDoesNotFit) {
  CpuContext context;
  Case<float> c(3, 7);
  HostTensor<float> narrow({6});
  ExpectInvalid(RmsNorm(context, {.x = c.x, .weight = narrow, .y = c.y, .rstd = c.rstd}),
                "rms_norm: weight is (6) f32, expected (7) f32");
  HostTensor<double> wide({3, 7});
  ExpectInvalid(RmsNorm(context, {.x = c.x, .weight = c.weight, .y = wide, .rstd = c.rstd}),
                "rms_norm: y is (3, 7) f64, expected (3, 7) f32");
  ExpectInvalid(RmsNorm(context, {.x = c.x, .weight = c.weight, .y = {}, .rstd = c.rstd}),
                "rms_norm: y");
  Tensor unbacked = c.y;
  unbacked.data = nullptr;
  ExpectInvalid(RmsNorm(context, {.x = c.x, .weight = c.weight, .y = unbacked, .rstd = c.rstd}),
                "rms_norm: y has no storage");
  ExpectInvalid(RmsNormBackward(context, {.dy = c.dy,
                                          .x = c.x,
                                          .weight = c.weight,
                                          .rstd = c.rstd,
                                          .dx = c.dy,
                                          .accumulate = true}),
                "rms_norm_backward: dx is dy's storage");
}

}  // namespace
}  // namespace tunesmith::trainer
