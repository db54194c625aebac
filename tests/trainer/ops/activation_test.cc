#include "trainer/ops/activation.h"

#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/elementwise.h"
#include "trainer/ops/swiglu.h"

namespace tunesmith::trainer {
namespace {

using planner::Activation;

constexpr Activation kAll[] = {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                               Activation::kQuickGelu, Activation::kRelu};

// From the definitions, in f64.
double Expected(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kRelu:
      return std::max(0.0, x);
  }
  return NAN;
}

template <typename T>
void TestForward(double tolerance) {
  CpuContext context;
  for (Activation activation : kAll) {
    auto x = RandomTensor<T>({7, 4099}, 1, 4.0);
    x[0] = -200;
    x[1] = 200;
    x[2] = 0;
    HostTensor<T> y({7, 4099});
    EXPECT_OK(ApplyActivation(context, {.x = x, .y = y, .activation = activation}));
    HostTensor<double> expected({7, 4099});
    for (int64_t i = 0; i < x.size(); ++i) expected[i] = Expected(activation, x[i]);
    ExpectClose(y, expected, tolerance, std::to_string(static_cast<int>(activation)));
  }
}

TEST(ActivationTest, Forward) {
  TestForward<float>(1e-6);
  TestForward<double>(1e-14);
}

TEST(ActivationTest, Gradients) {
  CpuContext context;
  for (Activation activation : kAll) {
    auto x = RandomTensor<double>({3, 5}, 1), up = RandomTensor<double>({3, 5}, 2);
    auto dy = RandomTensor<double>({3, 5}, 3);
    HostTensor<double> y({3, 5}), dx({3, 5}), dup({3, 5});
    EXPECT_OK(ActivationBackward(context, {.dy = dy, .x = x, .dx = dx, .activation = activation}));
    GradientCheck(
        x, dx,
        [&] {
          EXPECT_OK(ApplyActivation(context, {.x = x, .y = y, .activation = activation}));
          return Weigh(dy, y);
        },
        "plain");
    EXPECT_OK(SwiGluBackward(
        context,
        {.dy = dy, .gate = x, .up = up, .dgate = dx, .dup = dup, .activation = activation}));
    const auto gated = [&] {
      EXPECT_OK(SwiGlu(context, {.gate = x, .up = up, .y = y, .activation = activation}));
      return Weigh(dy, y);
    };
    GradientCheck(x, dx, gated, "gate");
    GradientCheck(up, dup, gated, "up");
  }
}

TEST(ActivationTest, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> x({3, 5}), y({3, 4});
  ExpectInvalid(ApplyActivation(context, {.x = x, .y = y}),
                "activation: y is (3, 4) f32, expected (3, 5) f32");
}

template <typename T>
void TestSoftCap(double tolerance) {
  CpuContext context;
  auto x = RandomTensor<T>({9, 1001}, 1, 40.0);
  x[0] = static_cast<T>(1e-4);
  x[1] = static_cast<T>(1e6);
  HostTensor<double> expected({9, 1001});
  for (int64_t i = 0; i < x.size(); ++i) expected[i] = 30 * std::tanh(double(x[i]) / 30);
  EXPECT_OK(SoftCap(context, {.x = x, .cap = 30}));
  ExpectClose(x, expected, tolerance);
  ExpectInvalid(SoftCap(context, {.x = x}), "soft_cap is not positive");
}

TEST(SoftCapTest, IsTanhOfTheShare) {
  TestSoftCap<float>(1e-6);
  TestSoftCap<double>(1e-14);
}

}  // namespace
}  // namespace tunesmith::trainer
