#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "planner/model/model_spec.h"
#include "planner/price/calibration.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::profiler {

struct ProbeOptions {
  planner::ModelSpec model;
  int64_t context = 512;
  double budget_seconds = 10;
  std::string device_name = "cpu";  // Hardware::name
  planner::Precision precision = planner::Precision::kFp32;
  bool allows_noise = false;
};

// Measures this machine on the ops of ProbePrograms, through the trainer's executor, until the budget is spent: the first three programs always, and as many of the
// others as there is time for, with more repetitions where there is more. Sets the calibration's id, fingerprint, rates, step factor and interval. `report` gets one
// line per program. Errors as Executor; RESOURCE_EXHAUSTED when not even the smallest program fits;
// FAILED_PRECONDITION when equal steps took so unequal times that the rates mean little, unless that is allowed.
absl::StatusOr<planner::Calibration> Probe(const ProbeOptions& options,
                                           const trainer::OpContext& context,
                                           absl::FunctionRef<void(const std::string&)> report);

}  // namespace tunesmith::profiler
