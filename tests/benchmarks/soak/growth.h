#pragma once

#include <vector>

namespace tunesmith::server {

struct Point {
  double x = 0;
  double y = 0;
};

// A line through points, by least squares.
struct Slope {
  double value = 0;  // change of y with x
  double spread =
      0;  // its standard error, by leaving out each tenth of the points in turn, so that neighbours that are alike do not make it small
};

// Points in the order of their x; of fewer than twenty, or all at one x, the slope is 0 and its spread infinite.
Slope FitSlope(const std::vector<Point>& points);

}  // namespace tunesmith::server
