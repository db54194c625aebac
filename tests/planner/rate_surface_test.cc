#include "planner/price/rate_surface.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace tunesmith::planner {
namespace {

using Sizes = RateSurface::Sizes;

double Saturating(const Sizes& x) {
  return 1e11 / (1 + 64 * std::exp(-x[0])) / (1 + 8 * std::exp(-x[2]));
}

std::vector<Sizes> Grid() {
  std::vector<Sizes> grid;
  for (double m : {16, 128, 1024})
    for (double n : {64, 512, 4096})
      for (double k : {16, 256, 2048}) grid.push_back({std::log(m), std::log(n), std::log(k)});
  return grid;
}

TEST(RateSurfaceTest, ExactAtEveryPoint) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> size(0, 12), rate(20, 26);
  RateSurface surface;
  std::vector<std::pair<Sizes, double>> points;
  for (int i = 0; i < 50; ++i) {
    points.push_back({{size(random), size(random), size(random)}, std::exp(rate(random))});
    surface.Add(points.back().first, points.back().second);
  }
  surface.Fit();
  for (const auto& [x, y] : points) EXPECT_NEAR(surface.RateAt(x) / y, 1, 1e-12);
}

TEST(RateSurfaceTest, FindsTheLawBetweenAndBeyondThePoints) {
  RateSurface surface;
  for (const Sizes& x : Grid()) surface.Add(x, Saturating(x));
  surface.Fit();
  for (const Sizes& x : {Sizes{std::log(40), std::log(1000), std::log(100)},
                         Sizes{std::log(4000), std::log(20000), std::log(8000)},
                         Sizes{std::log(4), std::log(300), std::log(4)}})
    EXPECT_NEAR(surface.RateAt(x) / Saturating(x), 1, 1e-9);
}

// Two points of 27 that something else on the machine slowed: elsewhere hardly anything changes.
TEST(RateSurfaceTest, OutliersStayWhereTheyAre) {
  RateSurface surface;
  std::vector<Sizes> grid = Grid();
  for (size_t i = 0; i < grid.size(); ++i)
    surface.Add(grid[i], Saturating(grid[i]) * (i == 3 || i == 20 ? 0.3 : 1.0));
  surface.Fit();
  const Sizes far = {std::log(1024), std::log(4096), std::log(4096)};
  EXPECT_NEAR(surface.RateAt(far) / Saturating(far), 1, 0.03);
}

TEST(RateSurfaceTest, OnePointIsTheRateEverywhere) {
  RateSurface surface;
  surface.Add({5, 0, 0}, 3e9);
  surface.Fit();
  for (double x : {1.0, 5.0, 20.0}) EXPECT_NEAR(surface.RateAt({x, 0, 0}), 3e9, 1);
}

TEST(RateSurfaceTest, TheOrderOfThePointsDoesNotMatter) {
  std::vector<Sizes> grid = Grid();
  const auto noisy = [&](size_t i) {
    return Saturating(grid[i]) * (1 + 0.01 * static_cast<double>(i % 7));
  };
  RateSurface one, other;
  for (size_t i = 0; i < grid.size(); ++i) one.Add(grid[i], noisy(i));
  for (size_t i = grid.size(); i-- > 0;) other.Add(grid[i], noisy(i));
  one.Fit();
  other.Fit();
  EXPECT_EQ(one.RateAt({4, 5, 6}), other.RateAt({4, 5, 6}));
}

}  // namespace
}  // namespace tunesmith::planner
