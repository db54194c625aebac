#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "planner/price/calibration.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {

// Collects the rates of every op that an executor runs, by what the price of an op depends on.
class OpStatistics : public trainer::OpObserver {
 public:
  // Op kind and up to three sizes: (m, n, k), (context, head size, 0) or (bytes, ranks, 0).
  using Key = std::pair<planner::OpKind, std::array<int64_t, 3>>;

  // `program` must outlive what is observed.
  explicit OpStatistics(const planner::Program* program) : program_(program) {}

  void OnOp(const planner::Op& op, const trainer::OpCall& call, double seconds) override;

  // One run of an op: floating-point operations or bytes per second.
  void Add(const Key& key, double rate) { rates_[key].push_back(rate); }

  // The rates of both, those of the other times `factor`.
  void Merge(const OpStatistics& other, double factor = 1);

  const std::map<Key, std::vector<double>>& rates() const { return rates_; }

  // Adds one point for each shape seen, from the median of its rates.
  void AddTo(planner::Calibration& calibration) const;

 private:
  const planner::Program* program_;
  std::map<Key, std::vector<double>> rates_;
};

}  // namespace tunesmith::profiler
