#pragma once

#include <vector>

#include "absl/status/status.h"
#include "planner/price/calibration.h"
#include "profiler/kept_samples.h"

// From samples to the rates, the step factor and the interval of a calibration.
namespace tunesmith::profiler {

// Fills in what follows from the samples, all brought to the pace that the machine had over the whole run. The interval is what short runs are off by when each is predicted from all other samples, as they
// were measured, at whatever pace: of nine short runs or more, else of all samples.  device, id and fingerprint are the caller's. REQUIRES: not empty, of one precision. NOT_FOUND: no such device.
absl::Status FitCalibration(const std::vector<Sample>& measured, planner::Calibration& calibration);

// The half-width that so many of a hundred new errors are within, from `errors` of the same kind, all >= 0: of n errors the ceil(coverage (n + 1))-th smallest (split conformal prediction,
// Vovk, Gammerman and Shafer 2005, section 2.2); the largest where there are too few for that.
double ConformalHalfWidth(std::vector<double> errors, double coverage);

// The half-width that nine in ten new errors would be within if they were normal around none, from so many of them: an order statistic of twenty errors is small by chance now and then, their root mean
// square hardly.
double NormalHalfWidth(const std::vector<double>& errors);

}  // namespace tunesmith::profiler
