#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "trainer/executor.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::profiler {

// How quick the machine is at the moment: the same small training step, again and again while a calibration lasts. Machines that share a host, a cooler or a power budget change their pace within
// minutes, for all ops alike, and no counter tells.
class Pace {
 public:
  // Holds arena_bytes(): some 60 MiB of a host, more of a GPU. Errors as Executor.
  static absl::StatusOr<Pace> Open(const trainer::OpContext& context, planner::Precision precision);

  // Median seconds of three steps, of some tens of milliseconds each, without what other processes took of them.
  absl::StatusOr<double> Measure();

  // The same with what others took: other ranks in this process are others too.
  absl::StatusOr<double> MeasureWithOthers();

  int64_t arena_bytes() const { return executor_->arena().plan().device_bytes(); }

 private:
  explicit Pace(std::unique_ptr<trainer::Executor> executor) : executor_(std::move(executor)) {}

  std::unique_ptr<trainer::Executor> executor_;
};

// Two ranks share the processors of a host, each with half of the threads: how much longer the step takes each of them than twice what it takes one rank that has all. 1: nothing is lost. Half a second;
// REQUIRES: context is of the CPU. Errors as Executor.
absl::StatusOr<double> SharingFactor(const trainer::OpContext& context,
                                     planner::Precision precision);

}  // namespace tunesmith::profiler
