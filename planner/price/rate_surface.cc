#include "planner/price/rate_surface.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace tunesmith::planner {
namespace {

constexpr int kNearest = 4;
// A trend needs points to show it.
constexpr size_t kLeastPointsOfTrend = 4;
// Weight of no difference from the trend: that of a point at this distance, a factor of e^1.5 in one size.
constexpr double kReach = 1.5;
constexpr int kSweeps = 3;

// Half sizes that are tried: none, and 1 to 65536 by steps of a factor of two.
constexpr int kHalfSizeCount = 18;
double HalfSize(int i) { return i == 0 ? 0.0 : std::exp2(i - 1); }

double SquaredDistance(const RateSurface::Sizes& a, const RateSurface::Sizes& b) {
  double sum = 0;
  for (size_t d = 0; d < RateSurface::kSizes; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
  return sum;
}

double MedianOf(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// How much less than the peak a size reaches, in log space.
double LogShare(double log_size, double half_size) {
  return half_size == 0 ? 0.0 : -std::log1p(half_size * std::exp(-log_size));
}

}  // namespace

void RateSurface::Add(const Sizes& log_sizes, double rate) {
  points_.push_back({log_sizes, std::log(rate), 0});
}

double RateSurface::LogTrend(const Sizes& x) const {
  double log_rate = log_peak_;
  for (size_t d = 0; d < kSizes; ++d) log_rate += LogShare(x[d], half_sizes_[d]);
  return log_rate;
}

// Mean distance of the points from their median, with another half size.
double RateSurface::SpreadFor(size_t d, double half_size) const {
  std::vector<double> rests, sorted;
  for (const Point& p : points_)
    rests.push_back(p.log_rate - LogTrend(p.x) + LogShare(p.x[d], half_sizes_[d]) -
                    LogShare(p.x[d], half_size));
  sorted = rests;
  const double middle = MedianOf(sorted);
  double sum = 0;
  for (const double rest : rests) sum += std::abs(rest - middle);
  return sum;
}

void RateSurface::FitHalfSize(size_t d) {
  double best_size = 0, best = SpreadFor(d, 0);
  for (int i = 1; i < kHalfSizeCount; ++i) {
    const double spread = SpreadFor(d, HalfSize(i));
    if (spread < best * (1 - 1e-9)) std::tie(best, best_size) = std::pair(spread, HalfSize(i));
  }
  half_sizes_[d] = best_size;
}

void RateSurface::FitPeak() {
  std::vector<double> rests;
  for (const Point& p : points_) rests.push_back(p.log_rate - LogTrend(p.x));
  log_peak_ += MedianOf(rests);
}

void RateSurface::Fit() {
  if (points_.empty()) return;
  // The median of an even count, and nearest points at one distance, would depend on the order.
  std::sort(points_.begin(), points_.end(), [](const Point& a, const Point& b) {
    return std::tie(a.x, a.log_rate) < std::tie(b.x, b.log_rate);
  });
  for (int sweep = 0; sweep < kSweeps && points_.size() >= kLeastPointsOfTrend; ++sweep) {
    for (size_t d = 0; d < kSizes; ++d) FitHalfSize(d);
  }
  FitPeak();
  for (Point& p : points_) p.residual = p.log_rate - LogTrend(p.x);
}

double RateSurface::RateAt(const Sizes& log_sizes) const {
  std::array<std::pair<double, double>, kNearest> nearest;  // squared distance, residual
  int found = 0;
  for (const Point& point : points_) {
    const double distance = SquaredDistance(point.x, log_sizes);
    if (distance < 1e-12) return std::exp(point.log_rate);
    if (found == kNearest && distance >= nearest[kNearest - 1].first) continue;
    int at = found < kNearest ? found++ : kNearest - 1;
    for (; at > 0 && nearest[static_cast<size_t>(at - 1)].first > distance; --at)
      nearest[static_cast<size_t>(at)] = nearest[static_cast<size_t>(at - 1)];
    nearest[static_cast<size_t>(at)] = {distance, point.residual};
  }
  double weights = 1.0 / (kReach * kReach), sum = 0;
  for (int i = 0; i < found; ++i) {
    weights += 1.0 / nearest[static_cast<size_t>(i)].first;
    sum += nearest[static_cast<size_t>(i)].second / nearest[static_cast<size_t>(i)].first;
  }
  return std::exp(LogTrend(log_sizes) + sum / weights);
}

}  // namespace tunesmith::planner
