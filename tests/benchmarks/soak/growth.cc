#include "tests/benchmarks/soak/growth.h"

#include <cmath>
#include <cstddef>
#include <limits>

namespace tunesmith::server {
namespace {

constexpr size_t kBlockCount = 10;
constexpr size_t kLeastPoints = 2 * kBlockCount;

size_t BlockOf(size_t index, size_t count) { return index * kBlockCount / count; }

// Without the points of one block; kBlockCount: with all. NaN when all are at one x.
double SlopeWithout(const std::vector<Point>& points, size_t block) {
  double count = 0, x_sum = 0, y_sum = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    if (BlockOf(i, points.size()) == block) continue;
    count += 1;
    x_sum += points[i].x;
    y_sum += points[i].y;
  }
  double covariance = 0, variance = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    if (BlockOf(i, points.size()) == block) continue;
    const double dx = points[i].x - x_sum / count;
    covariance += dx * (points[i].y - y_sum / count);
    variance += dx * dx;
  }
  return covariance / variance;
}

}  // namespace

// The jackknife: B blocks, slopes b_i without block i, spread^2 = (B - 1) / B * sum (b_i - mean)^2.
Slope FitSlope(const std::vector<Point>& points) {
  const Slope nothing{.value = 0, .spread = std::numeric_limits<double>::infinity()};
  if (points.size() < kLeastPoints) return nothing;
  std::vector<double> slopes;
  double mean = 0;
  for (size_t block = 0; block < kBlockCount; ++block) {
    slopes.push_back(SlopeWithout(points, block));
    mean += slopes.back() / kBlockCount;
  }
  double sum = 0;
  for (const double slope : slopes) sum += (slope - mean) * (slope - mean);
  const Slope slope{.value = SlopeWithout(points, kBlockCount),
                    .spread = std::sqrt(sum * (kBlockCount - 1) / kBlockCount)};
  return std::isfinite(slope.value) && std::isfinite(slope.spread) ? slope : nothing;
}

}  // namespace tunesmith::server
