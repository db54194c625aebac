#include "tests/benchmarks/soak/growth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tunesmith::server {
namespace {

TEST(GrowthTest, OfALineIsItsSlope) {
  std::vector<Point> points;
  for (int i = 0; i < 50; ++i) points.push_back({.x = i * 0.5, .y = 7 - 3.0 * i});
  const Slope slope = FitSlope(points);
  EXPECT_NEAR(slope.value, -6, 1e-12);
  EXPECT_NEAR(slope.spread, 0, 1e-12);
}

// Of independent errors of deviation s at n even places over a length L, the standard error is s * sqrt(12 / n) / L.
TEST(GrowthTest, TheSpreadIsTheStandardError) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> error(0, 2);
  double spread_sum = 0;
  int covered_count = 0;
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<Point> points;
    for (int i = 0; i < 200; ++i)
      points.push_back({.x = i / 200.0, .y = 4 * i / 200.0 + error(random)});
    const Slope slope = FitSlope(points);
    spread_sum += slope.spread / kRuns;
    covered_count += std::abs(slope.value - 4) < 2 * slope.spread ? 1 : 0;
  }
  EXPECT_NEAR(spread_sum, 2 * std::sqrt(12.0 / 200), 0.06);
  EXPECT_GT(covered_count, kRuns * 0.88);
}

// What wanders together is no growth that is known well.
TEST(GrowthTest, PointsThatGoInStepsAreNotTakenForManyPoints) {
  std::mt19937_64 random(6);
  std::normal_distribution<double> error(0, 2);
  std::vector<Point> alone;
  std::vector<Point> in_steps;
  for (int step = 0; step < 10; ++step) {
    const double y = error(random);
    for (int i = 0; i < 20; ++i) {
      in_steps.push_back({.x = step * 20.0 + i, .y = y});
      alone.push_back({.x = step * 20.0 + i, .y = error(random)});
    }
  }
  EXPECT_GT(FitSlope(in_steps).spread, 2 * FitSlope(alone).spread);
}

TEST(GrowthTest, OfTooFewOrOneInstantNothingIsKnown) {
  EXPECT_TRUE(std::isinf(FitSlope({{1, 1}, {2, 2}}).spread));
  EXPECT_TRUE(std::isinf(FitSlope(std::vector<Point>(40, Point{.x = 1, .y = 1})).spread));
}

}  // namespace
}  // namespace tunesmith::server
