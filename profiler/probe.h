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
};

// Measures this machine on the ops that a fine-tune of the model will run: two layers of the model with its true widths, full fine-tuning, LoRA
// and QLoRA, both attention kernels where the device has them, micro-batches of growing size, through the trainer's executor, until the budget is
// spent (each at least once). Sets the calibration's id, fingerprint, rates, step factor and interval. `report` gets one line per probe.
// Errors as Executor; RESOURCE_EXHAUSTED when not even the smallest probe fits.
absl::StatusOr<planner::Calibration> Probe(const ProbeOptions& options,
                                           const trainer::OpContext& context,
                                           absl::FunctionRef<void(const std::string&)> report);

// What identifies a CPU host: processor model, processors, memory in GiB.
std::string HostFingerprint();

}  // namespace tunesmith::profiler
