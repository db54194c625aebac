#pragma once

#include <string_view>

#include "planner/answer/prediction.h"
#include "planner/price/calibration.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/calibration.pb.h"
#include "tunesmith/v1/plan.pb.h"

// Predictions and calibrations: proto <-> planner. Functions ...FromProto add what is wrong to
// `violations` under the path `field`.
namespace tunesmith::convert {

// The proto holds neither the mix nor the program digest; they stand beside it in RankedMix and
// Plan.
v1::Prediction ToProto(const planner::Prediction& prediction);
planner::Prediction PredictionFromProto(const v1::Prediction& proto, std::string_view field,
                                        Violations& violations);

v1::Calibration ToProto(const planner::Calibration& calibration);
// What its rates were measured in.
planner::Precision PrecisionOf(const v1::Calibration& proto);
planner::Calibration CalibrationFromProto(const v1::Calibration& proto, std::string_view field,
                                          Violations& violations);

}  // namespace tunesmith::convert
