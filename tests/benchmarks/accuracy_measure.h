#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/benchmarks/accuracy_axes.h"
#include "tests/benchmarks/accuracy_points.h"
#include "trainer/ops/op_context.h"

// Measures points on a device.
namespace tunesmith {

struct MeasureOptions {
  size_t point_count = 64;
  int round_count = 5;
  uint64_t seed = 1;
  double most_seconds =
      0;  // no group of points is begun that would, as the longest before, end after that; 0: all are measured
  std::string save_path;  // written anew after each group; empty: nowhere
};

struct MeasuredPoints {
  MeasuredHost host;
  double noise_floor =
      0;  // mean over the points of |median of odd rounds / median of even rounds - 1|
  double half_width_median = 0;
  int64_t arena_mismatch_count = 0;
  int64_t left_out_count = 0;  // for want of time
  int64_t failed_count = 0;    // that did not run, for which stderr has the reasons
};

// Draws points whose steps can be predicted and are within the bounds of the axes, and measures them in groups that are held at once and take turns, one step each after a warm-up, so
// that what else the host does meets all alike. Errors as Executor; a point that does not run is counted.
absl::StatusOr<MeasuredPoints> MeasurePoints(const MeasureOptions& options, const PointAxes& axes,
                                             const planner::Calibration& calibration,
                                             const trainer::OpContext& context);

}  // namespace tunesmith
