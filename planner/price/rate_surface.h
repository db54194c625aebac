#pragma once

#include <array>
#include <cstddef>
#include <vector>

// Rates measured at some sizes, read at others.
namespace tunesmith::planner {

// The rate of one kind of op over up to three sizes, from points measured anywhere. A trend through all of them, of the form
//   rate = peak * prod_d size_d / (size_d + half_size_d),
// where a half size is that at which an op reaches half of what longer ones do (the n_1/2 of Hockney and Jesshope 1981), fitted to the median of the
// points, so that outliers do not bend it; and between the points, what they differ from the trend by, in log space, weighted by inverse squared
// distance. Exact at a measured point; the trend alone far from all. Which order points came in says nothing.
class RateSurface {
 public:
  static constexpr size_t kSizes = 3;
  using Sizes = std::array<double, kSizes>;  // logarithms; 0 for a size that the kind does not have

  // Rates above 0.
  void Add(const Sizes& log_sizes, double rate);
  // After the last point, before the first reading.
  void Fit();

  bool empty() const { return points_.empty(); }
  // REQUIRES: !empty().
  double RateAt(const Sizes& log_sizes) const;

 private:
  struct Point {
    Sizes x;
    double log_rate;
    double residual;  // over the trend
  };

  class Fitter;

  double LogTrend(const Sizes& x) const;

  std::vector<Point> points_;
  std::array<double, kSizes> half_sizes_ = {};
  double log_peak_ = 0;
};

}  // namespace tunesmith::planner
