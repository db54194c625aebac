#include "planner/price/rate_surface.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "common/median.h"

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

// Fits the half size of one dimension after another. What every point's share of the peak would be by every half size is computed once.
class RateSurface::Fitter {
 public:
  explicit Fitter(const std::vector<Point>& points) {
    for (const Point& p : points) rests_.push_back(p.log_rate);
    for (size_t d = 0; d < kSizes; ++d) {
      const auto same = [&](const Point& p) { return p.x[d] == points[0].x[d]; };
      varies_[d] = !std::all_of(points.begin(), points.end(), same);
      for (int i = 0; varies_[d] && i < kHalfSizeCount; ++i)
        for (const Point& p : points) shares_[d][i].push_back(LogShare(p.x[d], HalfSize(i)));
    }
  }

  std::array<double, kSizes> HalfSizes() {
    for (int sweep = 0; sweep < kSweeps; ++sweep)
      for (size_t d = 0; d < kSizes; ++d)
        if (varies_[d]) Improve(d);
    std::array<double, kSizes> half_sizes;
    for (size_t d = 0; d < kSizes; ++d) half_sizes[d] = HalfSize(chosen_[d]);
    return half_sizes;
  }

 private:
  // rests_ are over the trend by the half sizes that are chosen; those of dimension d are taken out while it is looked for.
  void Improve(size_t d) {
    for (size_t p = 0; p < rests_.size(); ++p) rests_[p] += shares_[d][chosen_[d]][p];
    int best = 0;
    double least = Spread(shares_[d][0]);
    for (int i = 1; i < kHalfSizeCount; ++i) {
      const double spread = Spread(shares_[d][i]);
      if (spread >= least * (1 - 1e-9)) continue;
      least = spread;
      best = i;
    }
    chosen_[d] = best;
    for (size_t p = 0; p < rests_.size(); ++p) rests_[p] -= shares_[d][best][p];
  }

  // Distance of the points from their median, summed.
  double Spread(const std::vector<double>& shares) {
    over_.resize(rests_.size());
    for (size_t p = 0; p < rests_.size(); ++p) over_[p] = rests_[p] - shares[p];
    const double middle = Median(over_);
    double sum = 0;
    for (const double over : over_) sum += std::abs(over - middle);
    return sum;
  }

  std::vector<double> rests_;
  std::vector<double> over_;
  std::array<bool, kSizes> varies_ = {};
  std::array<std::array<std::vector<double>, kHalfSizeCount>, kSizes> shares_;
  std::array<int, kSizes> chosen_ = {};
};

void RateSurface::Fit() {
  if (points_.empty()) return;
  // The median of an even count, and nearest points at one distance, would depend on the order.
  std::sort(points_.begin(), points_.end(), [](const Point& a, const Point& b) {
    return std::tie(a.x, a.log_rate) < std::tie(b.x, b.log_rate);
  });
  if (points_.size() >= kLeastPointsOfTrend) half_sizes_ = Fitter(points_).HalfSizes();
  std::vector<double> rests;
  for (const Point& p : points_) rests.push_back(p.log_rate - LogTrend(p.x));
  log_peak_ = Median(rests);
  for (size_t i = 0; i < points_.size(); ++i) points_[i].residual = rests[i] - log_peak_;
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
