#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "planner/answer/device_counts.h"
#include "planner/answer/prediction.h"
#include "planner/answer/search.h"

// What is asked when the count and the kind of the devices are not known.
namespace tunesmith::planner {

// Devices that can be had.
struct DeviceKind {
  Hardware hardware;
  int64_t devices_per_node = kDevicesPerNode;
  int64_t device_limit = 0;             // how many there are; 0: as many as are asked about
  double network_bytes_per_second = 0;  // of a node, one direction; 0: assumed
  int64_t host_memory_bytes = 0;        // of a node, shared by its devices in use; 0: not limited
  // In the asker's currency; 0: not known. All kinds have one or none has.
  double price_per_device_hour = 0;
  Calibration calibration;  // id empty: datasheet prices
};

struct SizeQuestion {
  // Its devices and calibration are not read: `kinds` have them. Its objective must be kTime. Its rows per step are what is learned from
  // and stay: counts that do not divide them are not tried.
  Question question;
  std::vector<DeviceKind> kinds;
  double finish_within_seconds = 0;  // for the whole data set; 0: any time
  int64_t most_device_count = 1024;  // of a kind
};

// True where the kinds have prices.
bool Priced(const SizeQuestion& asked);

// INVALID_ARGUMENT: every problem of the kinds, prices and the time allowed; those of the question within are found kind by kind.
absl::Status ValidateSizeQuestion(const SizeQuestion& asked);

// The question that is asked of so many devices of a kind. REQUIRES: `devices` are of that kind.
Question QuestionFor(const SizeQuestion& asked, int64_t kind_index, const DeviceGroup& devices);

// Hours of all devices together for the whole data set; 0 where its size is not known.
double DeviceHours(const Prediction& prediction, const DeviceGroup& devices);

}  // namespace tunesmith::planner
