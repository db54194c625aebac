#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "planner/price/calibration.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {

// Collects the seconds of every op that an executor runs, by what the price of an op depends on.
class OpStatistics : public trainer::OpObserver {
 public:
  // `program` must outlive what is observed.
  explicit OpStatistics(const planner::Program* program) : program_(program) {}

  void OnOp(const planner::Op& op, const trainer::OpCall& call, double seconds) override;

  // The samples of both.
  void Merge(const OpStatistics& other);

  // Adds one point for each shape seen, from the median of its times.
  void AddTo(planner::Calibration& calibration) const;

 private:
  // Op kind and up to three sizes: (m, n, k), (context, head size, 0) or (bytes, 0, 0).
  using Key = std::tuple<planner::OpKind, int64_t, int64_t, int64_t>;
  struct Sample {
    double work = 0;  // flops or bytes
    double seconds = 0;
  };

  const planner::Program* program_;
  std::map<Key, std::vector<Sample>> samples_;
};

}  // namespace tunesmith::profiler
