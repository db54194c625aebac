#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/price/calibration.h"
#include "planner/program/program.h"
#include "trainer/executor.h"

namespace tunesmith {

// A step program in memory, with random weights and tokens, and the times of its steps.
class TimedStep {
 public:
  // Runs one step, whose time does not count: pages, caches. RESOURCE_EXHAUSTED where it does not fit. `context` outlives the object.
  static absl::StatusOr<TimedStep> Open(const planner::ProgramInputs& inputs,
                                        const trainer::OpContext& context);

  absl::Status Run();

  int64_t arena_bytes() const { return executor_->arena().plan().device_bytes(); }
  const std::vector<double>& seconds() const { return seconds_; }
  double median_seconds() const;
  double noise() const;  // |median of odd rounds / median of even rounds - 1|

 private:
  explicit TimedStep(std::unique_ptr<trainer::Executor> executor)
      : executor_(std::move(executor)) {}

  std::unique_ptr<trainer::Executor> executor_;
  std::vector<double> seconds_;
};

// The calibration in the file at `path`; without one, this device's in this precision, measured now. NOT_FOUND: a GPU that the hardware catalog does not have.
// INVALID_ARGUMENT: the file's is of another precision.
absl::StatusOr<planner::Calibration> CalibrationOf(const std::string& path, double budget_seconds,
                                                   planner::Precision precision,
                                                   const trainer::OpContext& context);

}  // namespace tunesmith
