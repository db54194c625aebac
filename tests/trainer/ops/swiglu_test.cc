#include "trainer/ops/swiglu.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

template <typename T>
void TestForward(double tolerance) {
  CpuContext context;
  auto gate = RandomTensor<T>({7, 4099}, 1, 4.0), up = RandomTensor<T>({7, 4099}, 2);
  HostTensor<T> y({7, 4099});
  gate[0] = -200;  // exp(200) is beyond f32
  gate[1] = 200;
  EXPECT_OK(SwiGlu(context, {.gate = gate, .up = up, .y = y}));
  HostTensor<double> expected({7, 4099});
  for (int64_t i = 0; i < y.size(); ++i) {
    const double g = gate[i];
    expected[i] = g / (1 + std::exp(-g)) * up[i];
  }
  ExpectClose(y, expected, tolerance);
}

TEST(SwiGlu, Forward) {
  TestForward<float>(1e-6);
  TestForward<double>(1e-14);
}

TEST(SwiGlu, Gradients) {
  CpuContext context;
  auto gate = RandomTensor<double>({3, 5}, 1), up = RandomTensor<double>({3, 5}, 2);
  auto dy = RandomTensor<double>({3, 5}, 3);
  HostTensor<double> y({3, 5}), dgate({3, 5}), dup({3, 5});
  const auto loss = [&] {
    EXPECT_OK(SwiGlu(context, {.gate = gate, .up = up, .y = y}));
    return Weigh(dy, y);
  };
  EXPECT_OK(
      SwiGluBackward(context, {.dy = dy, .gate = gate, .up = up, .dgate = dgate, .dup = dup}));
  GradientCheck(gate, dgate, loss, "dgate");
  GradientCheck(up, dup, loss, "dup");
  // In the storage of the inputs.
  EXPECT_OK(SwiGluBackward(context, {.dy = dy, .gate = gate, .up = up, .dgate = gate, .dup = dy}));
  EXPECT_EQ(gate.values, dgate.values);
  EXPECT_EQ(dy.values, dup.values);
}

TEST(SwiGlu, TakesColumnsOfAWiderMatrix) {
  CpuContext context;
  const int64_t F = 37;
  auto gate = RandomTensor<float>({5, F}, 1), up = RandomTensor<float>({5, F}, 2);
  auto dy = RandomTensor<float>({5, F}, 3);
  HostTensor<float> y({5, F}), y_of_columns({5, F}), dgate({5, F}), dup({5, F});
  auto both = SideBySide<float>({&gate, &up});
  HostTensor<float> gradients({5, 2 * F}, NAN);
  EXPECT_OK(SwiGlu(context, {.gate = gate, .up = up, .y = y}));
  EXPECT_OK(SwiGlu(
      context, {.gate = ColumnsOf(both, 0, F), .up = ColumnsOf(both, F, F), .y = y_of_columns}));
  EXPECT_EQ(y_of_columns.values, y.values);
  EXPECT_OK(
      SwiGluBackward(context, {.dy = dy, .gate = gate, .up = up, .dgate = dgate, .dup = dup}));
  EXPECT_OK(SwiGluBackward(context, {.dy = dy,
                                     .gate = ColumnsOf(both, 0, F),
                                     .up = ColumnsOf(both, F, F),
                                     .dgate = ColumnsOf(gradients, 0, F),
                                     .dup = ColumnsOf(gradients, F, F)}));
  EXPECT_EQ(gradients.values, SideBySide<float>({&dgate, &dup}).values);
}

TEST(SwiGlu, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    auto gate = RandomTensor<float>({37, 2011}, 1), up = RandomTensor<float>({37, 2011}, 2);
    EXPECT_OK(SwiGlu(context, {.gate = gate, .up = up, .y = gate}));
    return gate.values;
  });
}

TEST(SwiGlu, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> gate({3, 5}), up({3, 4});
  ExpectInvalid(SwiGlu(context, {.gate = gate, .up = up, .y = gate}),
                "swiglu: up is (3, 4) f32, expected (3, 5) f32");
  ExpectInvalid(
      SwiGluBackward(context, {.dy = gate, .gate = gate, .up = gate, .dgate = gate, .dup = up}),
      "swiglu_backward: dup");
}

}  // namespace
}  // namespace tunesmith::trainer
