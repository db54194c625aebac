#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "server/database_pool.h"
#include "tunesmith/v1/measurements.pb.h"

namespace tunesmith::server {

// How the steps that jobs took stand to their predictions: of each device, method and calibration the newest twenty. Thread-safe.
class Drift {
 public:
  // Takes up the newest of what was stored.
  absl::Status Load(DatabasePool& pool);

  // A measurement that was stored.
  void Add(const v1::Measurement& measurement);

  // What a reader of an answer must know, where the steps of the device and method that rest on this calibration (empty: datasheets) leave their intervals; else empty.
  std::string WarningOf(const std::string& device_name, const std::string& method,
                        const std::string& calibration_id) const;

  // Changes when a warning does, and not with every step: answers that are kept rest on it.
  int64_t version() const { return version_; }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // device, method, calibration

  // Whether a warning changed.
  bool AddToWindow(const v1::Measurement& measurement);

  mutable std::mutex mutex_;
  std::map<Key, std::deque<bool>> outside_;  // the newest last
  std::atomic<int64_t> version_{0};
};

}  // namespace tunesmith::server
