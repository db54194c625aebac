#pragma once

#include <string>
#include <vector>

#include "tunesmith/v1/measurements.pb.h"

namespace tunesmith::client {

// Measured steps against predicted ones as an SVG file: a mark for each, by device and method, that tells model, mix and seconds when pointed at, and the line on which the two are equal. Empty where no step
// was measured.
std::string CalibrationChart(const std::vector<v1::Measurement>& measurements);

}  // namespace tunesmith::client
