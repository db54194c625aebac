#pragma once

#include <string>
#include <vector>

#include "client/listing.h"
#include "tunesmith/v1/measurements.pb.h"

// How good predictions have been, from what jobs took.
namespace tunesmith::client {

// Measurements of one kind of device, method and model.
struct CalibrationGroup {
  std::string device;
  std::string method;
  std::string model;
  int64_t step_count = 0;      // measurements of a step's time
  double step_mean_error = 0;  // of |measured / predicted - 1|
  double step_bias = 0;        // mean of measured / predicted - 1
  int64_t inside_count = 0;    // within the predicted 90 % interval
  int64_t memory_count = 0;    // measurements of a device's memory
  double memory_mean_error = 0;
  int64_t memory_over_count = 0;  // that took more than was predicted
  int64_t split_count = 0;        // memories of which the arena's part is known
  double arena_mean_error = 0;    // of the arena
  double outside_mean_error = 0;  // of what was taken beside it

  // Steps leave their interval so often that the rates no longer hold: of 5 at least, more than 3 in 10, where 1 in 10 is expected.
  bool HasDrifted() const;
};

// Sorted by device, method and model.
std::vector<CalibrationGroup> GroupMeasurements(const std::vector<v1::Measurement>& measurements);

Listing CalibrationListing(const std::vector<CalibrationGroup>& groups);

// A table, and a warning for every group that has drifted.
std::string ShowCalibrationReport(const std::vector<CalibrationGroup>& groups);
std::string CalibrationReportJson(const std::vector<CalibrationGroup>& groups);

}  // namespace tunesmith::client
