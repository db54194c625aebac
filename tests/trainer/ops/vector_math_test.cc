#include "trainer/ops/vector_math.h"

#include <limits>

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The row function is what the compiler turns into vector code; it must agree with the standard
// library over the whole range.
TEST(VectorMath, ExpIsWithin2em7) {
  std::vector<float> x, y;
  for (double value = -87.3; value < 88.7; value += 0.0013) x.push_back(static_cast<float>(value));
  y.resize(x.size());
  RowExp(x.data(), static_cast<int64_t>(x.size()), 0.0f, y.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    worst = std::max(worst, std::abs(y[i] - expected) / expected);
  }
  EXPECT_LT(worst, 2e-7);
}

TEST(VectorMath, ExpAtTheEdges) {
  EXPECT_EQ(Exp(-kInfinity), 0.0f);
  EXPECT_EQ(Exp(-150.0f), 0.0f);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(89.0f), kInfinity);
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_NEAR(Exp(-100.0f), 3.8e-44, 3e-45);  // a subnormal
  EXPECT_LT(std::abs(Exp(88.7f) / std::exp(static_cast<double>(88.7f)) - 1), 2e-7);
}

TEST(VectorMath, Exp2IsWithin3em7) {
  double worst = 0;
  for (double value = -125; value < 20; value += 0.0013) {
    const float x = static_cast<float>(value);
    const double expected = std::exp2(static_cast<double>(x));
    worst = std::max(worst, std::abs(Exp2(x) - expected) / expected);
  }
  EXPECT_LT(worst, 3e-7);
  EXPECT_EQ(Exp2(0.0f), 1.0f);
  EXPECT_EQ(Exp2(-kInfinity), 0.0f);
  EXPECT_EQ(Exp2(-126.0f), 0.0f);
  EXPECT_TRUE(std::isnan(Exp2(std::numeric_limits<float>::quiet_NaN())));
}

TEST(VectorMath, RowsOfAnyLength) {
  for (int64_t count : {0, 1, 7, 16, 33, 100}) {
    const auto x = RandomTensor<float>({count}, 1), y = RandomTensor<float>({count}, 2);
    double dot = 0, squares = 0, sum_exp = 0, largest = -kInfinity;
    for (int64_t i = 0; i < count; ++i) {
      dot += static_cast<double>(x[i]) * y[i];
      squares += static_cast<double>(x[i]) * x[i];
      sum_exp += std::exp(static_cast<double>(x[i]) - 1);
      largest = std::max<double>(largest, x[i]);
    }
    EXPECT_NEAR(RowDot(x.values.data(), y.values.data(), count), dot, 1e-4);
    EXPECT_NEAR(RowSumSquares(x.values.data(), count), squares, 1e-10);
    EXPECT_NEAR(RowSumExp(x.values.data(), count, 1.0f), sum_exp, 1e-4);
    EXPECT_EQ(RowMax(x.values.data(), count), static_cast<float>(largest));
  }
}

TEST(VectorMath, CosSin) {
  std::vector<float> angle;
  for (double value = -20000; value < 20000; value += 0.77)
    angle.push_back(static_cast<float>(value));
  for (double value = -7; value < 7; value += 0.001) angle.push_back(static_cast<float>(value));
  angle.push_back(900000.25f);
  std::vector<float> cosine(angle.size()), sine(angle.size());
  RowCosSin(angle.data(), static_cast<int64_t>(angle.size()), cosine.data(), sine.data());
  for (size_t i = 0; i < angle.size(); ++i) {
    ASSERT_NEAR(cosine[i], std::cos(static_cast<double>(angle[i])), 1e-7) << angle[i];
    ASSERT_NEAR(sine[i], std::sin(static_cast<double>(angle[i])), 1e-7) << angle[i];
  }
}

}  // namespace
}  // namespace tunesmith::trainer::cpu
