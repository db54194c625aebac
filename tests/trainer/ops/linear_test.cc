#include "trainer/ops/linear.h"

#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/blas.h"

namespace tunesmith::trainer {
namespace {

template <typename T>
struct Case {
  int64_t BT, I, O;
  HostTensor<T> x = RandomTensor<T>({BT, I}, 1), weight = RandomTensor<T>({O, I}, 2);
  HostTensor<T> bias = RandomTensor<T>({O}, 3), addend = RandomTensor<T>({BT, O}, 4);
  HostTensor<T> dy = RandomTensor<T>({BT, O}, 5);
  // Garbage where an op overwrites: NaN would show if it were read.
  HostTensor<T> y{{BT, O}, NAN}, dx{{BT, I}, NAN}, dweight{{O, I}, NAN}, dbias{{O}, NAN};

  Case(int64_t rows, int64_t inputs, int64_t outputs) : BT(rows), I(inputs), O(outputs) {}

  // scale * x weight^T, in f64.
  HostTensor<double> Product(double scale) const {
    HostTensor<double> product({BT, O});
    for (int64_t i = 0; i < BT; ++i) {
      for (int64_t o = 0; o < O; ++o) {
        for (int64_t j = 0; j < I; ++j) {
          product[i * O + o] += scale * x[i * I + j] * weight[o * I + j];
        }
      }
    }
    return product;
  }
};

template <typename T>
void TestForward(int64_t BT, int64_t I, int64_t O, double tolerance) {
  CpuContext context;
  Case<T> c(BT, I, O);
  EXPECT_OK(Linear(context, {.x = c.x, .weight = c.weight, .y = c.y, .scale = 0.5}));
  auto expected = c.Product(0.5);
  ExpectClose(c.y, expected, tolerance, "y");

  for (int64_t i = 0; i < c.y.size(); ++i) expected[i] += c.addend[i];
  EXPECT_OK(
      Linear(context, {.x = c.x, .weight = c.weight, .addend = c.addend, .y = c.y, .scale = 0.5}));
  ExpectClose(c.y, expected, tolerance, "y with addend");
  EXPECT_OK(Linear(
      context, {.x = c.x, .weight = c.weight, .addend = c.addend, .y = c.addend, .scale = 0.5}));
  ExpectClose(c.addend, expected, tolerance, "y in addend's storage");

  EXPECT_OK(LinearBias(context, {.x = c.x, .weight = c.weight, .bias = c.bias, .y = c.y}));
  expected = c.Product(1.0);
  for (int64_t i = 0; i < c.y.size(); ++i) expected[i] += c.bias[i % O];
  ExpectClose(c.y, expected, tolerance, "y with bias");
}

TEST(Linear, ForwardAtOddSizes) {
  // One row is the path of generation; the last two take several tiles.
  for (auto [BT, I, O] :
       {std::tuple{1, 1, 1}, {1, 37, 301}, {7, 5, 3}, {300, 65, 310}, {70, 3, 9001}}) {
    TestForward<float>(BT, I, O, 2e-5);
    TestForward<double>(BT, I, O, 1e-13);
  }
}

TEST(Linear, EmptySizes) {
  CpuContext context;
  Case<float> no_inputs(2, 0, 3);
  EXPECT_OK(Linear(context, {.x = no_inputs.x, .weight = no_inputs.weight, .y = no_inputs.y}));
  EXPECT_EQ(no_inputs.y.values, std::vector<float>(6, 0.0f));
  Case<float> no_rows(0, 4, 3);
  EXPECT_OK(Linear(context, {.x = no_rows.x, .weight = no_rows.weight, .y = no_rows.y}));
  EXPECT_OK(LinearBackwardWeight(context,
                                 {.dy = no_rows.dy, .x = no_rows.x, .dweight = no_rows.dweight}));
  EXPECT_EQ(no_rows.dweight.values, std::vector<float>(12, 0.0f));
  EXPECT_OK(BiasBackward(context, {.dy = no_rows.dy, .dbias = no_rows.dbias}));
  EXPECT_EQ(no_rows.dbias.values, std::vector<float>(3, 0.0f));
}

TEST(Linear, Gradients) {
  CpuContext context;
  Case<double> c(5, 7, 3);
  const double scale = 0.7;
  const auto loss = [&] {
    EXPECT_OK(Linear(context, {.x = c.x, .weight = c.weight, .y = c.y, .scale = scale}));
    return Weigh(c.dy, c.y);
  };
  EXPECT_OK(
      LinearBackwardInput(context, {.dy = c.dy, .weight = c.weight, .dx = c.dx, .scale = scale}));
  EXPECT_OK(
      LinearBackwardWeight(context, {.dy = c.dy, .x = c.x, .dweight = c.dweight, .scale = scale}));
  GradientCheck(c.x, c.dx, loss, "dx");
  GradientCheck(c.weight, c.dweight, loss, "dweight");
  const auto bias_loss = [&] {
    EXPECT_OK(LinearBias(context, {.x = c.x, .weight = c.weight, .bias = c.bias, .y = c.y}));
    return Weigh(c.dy, c.y);
  };
  EXPECT_OK(BiasBackward(context, {.dy = c.dy, .dbias = c.dbias}));
  GradientCheck(c.bias, c.dbias, bias_loss, "dbias");
}

TEST(Linear, Accumulates) {
  CpuContext context;
  Case<double> c(5, 7, 3);
  for (bool accumulate : {false, true}) {
    EXPECT_OK(LinearBackwardInput(
        context, {.dy = c.dy, .weight = c.weight, .dx = c.dx, .accumulate = accumulate}));
    EXPECT_OK(LinearBackwardWeight(
        context, {.dy = c.dy, .x = c.x, .dweight = c.dweight, .accumulate = accumulate}));
    EXPECT_OK(BiasBackward(context, {.dy = c.dy, .dbias = c.dbias, .accumulate = accumulate}));
  }
  Case<double> once(5, 7, 3);
  EXPECT_OK(
      LinearBackwardInput(context, {.dy = c.dy, .weight = c.weight, .dx = once.dx, .scale = 2}));
  EXPECT_OK(
      LinearBackwardWeight(context, {.dy = c.dy, .x = c.x, .dweight = once.dweight, .scale = 2}));
  ExpectClose(c.dx, once.dx, 1e-14);
  ExpectClose(c.dweight, once.dweight, 1e-14);
  for (int64_t o = 0; o < 3; ++o) {
    double sum = 0;
    for (int64_t i = 0; i < 5; ++i) sum += 2 * c.dy[i * 3 + o];
    EXPECT_NEAR(c.dbias[o], sum, 1e-13);
  }
}

template <typename T>
void ExpectColumnsAreLikeMatrices(int64_t BT, int64_t I, int64_t O) {
  CpuContext context;
  Case<T> c(BT, I, O);
  const int64_t begin = 3, width = I + 5;
  HostTensor<T> x({BT, width}, NAN), dx({BT, width}, T{7});
  for (int64_t i = 0; i < BT; ++i)
    std::copy_n(c.x.values.begin() + i * I, I, x.values.begin() + i * width + begin);
  HostTensor<T> y({BT, O}, NAN), dweight({O, I}, NAN);
  EXPECT_OK(Linear(context, {.x = c.x, .weight = c.weight, .y = c.y}));
  EXPECT_OK(Linear(context, {.x = ColumnsOf(x, begin, I), .weight = c.weight, .y = y}));
  EXPECT_EQ(y.values, c.y.values);
  EXPECT_OK(LinearBackwardWeight(context, {.dy = c.dy, .x = c.x, .dweight = c.dweight}));
  EXPECT_OK(
      LinearBackwardWeight(context, {.dy = c.dy, .x = ColumnsOf(x, begin, I), .dweight = dweight}));
  EXPECT_EQ(dweight.values, c.dweight.values);
  for (const bool accumulate : {false, true}) {
    EXPECT_OK(LinearBackwardInput(
        context, {.dy = c.dy, .weight = c.weight, .dx = c.dx, .accumulate = accumulate}));
    EXPECT_OK(LinearBackwardInput(
        context,
        {.dy = c.dy, .weight = c.weight, .dx = ColumnsOf(dx, begin, I), .accumulate = accumulate}));
    for (int64_t i = 0; i < BT; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        const bool inside = j >= begin && j < begin + I;
        ASSERT_EQ(dx[i * width + j], inside ? c.dx[i * I + j - begin] : T{7}) << i << ", " << j;
      }
    }
  }
}

TEST(Linear, ColumnsOfAWiderMatrixAreLikeAMatrix) {
  for (auto [BT, I, O] : {std::tuple{1, 16, 301}, {7, 5, 3}, {300, 16, 310}, {65, 48, 576}}) {
    ExpectColumnsAreLikeMatrices<float>(BT, I, O);
    ExpectColumnsAreLikeMatrices<double>(BT, I, O);
  }
}

TEST(Linear, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    Case<float> c(301, 77, 520);
    EXPECT_OK(Linear(context, {.x = c.x, .weight = c.weight, .y = c.y}));
    EXPECT_OK(LinearBackwardInput(context, {.dy = c.dy, .weight = c.weight, .dx = c.dx}));
    EXPECT_OK(LinearBackwardWeight(context, {.dy = c.dy, .x = c.x, .dweight = c.dweight}));
    EXPECT_OK(BiasBackward(context, {.dy = c.dy, .dbias = c.dbias}));
    auto all = c.y.values;
    for (const auto* part : {&c.dx, &c.dweight, &c.dbias}) {
      all.insert(all.end(), part->values.begin(), part->values.end());
    }
    return all;
  });
}

TEST(Linear, NamesWhatDoesNotFit) {
  CpuContext context;
  Case<float> c(5, 7, 3);
  HostTensor<float> wrong({3, 8});
  ExpectInvalid(Linear(context, {.x = c.x, .weight = wrong, .y = c.y}),
                "linear: weight is (3, 8) f32, expected (3, 7) f32");
  ExpectInvalid(Linear(context, {.x = c.x, .weight = c.weight, .addend = c.x, .y = c.y}),
                "linear: addend");
  ExpectInvalid(LinearBias(context, {.x = c.x, .weight = c.weight, .bias = c.x, .y = c.y}),
                "linear_bias: bias");
  ExpectInvalid(LinearBackwardInput(context, {.dy = c.dy, .weight = c.x, .dx = c.dx}),
                "linear_backward_input: weight");
  ExpectInvalid(LinearBackwardWeight(context, {.dy = c.dy, .x = c.x, .dweight = c.x}),
                "linear_backward_weight: dweight");
  ExpectInvalid(BiasBackward(context, {.dy = c.dy, .dbias = c.x}), "bias_backward: dbias");
  HostTensor<float> wide({5, 6});
  ExpectInvalid(BiasBackward(context, {.dy = ColumnsOf(wide, 1, 3), .dbias = c.dbias}),
                "bias_backward: dy has rows 6 elements apart, expected 3");
}

// On processors with vector instructions OpenBLAS must not run its SSE3 kernels.
TEST(Blas, UsesTheProcessorsVectors) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 here";
  const auto blas = cpu::LoadBlas();
  ASSERT_TRUE(blas.ok()) << blas.status();
  EXPECT_STRNE((*blas)->core_name(), "Prescott");
}

}  // namespace
}  // namespace tunesmith::trainer
