#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "planner/model/model_spec.h"
#include "planner/price/calibration.h"
#include "profiler/note.h"
#include "trainer/ops/op_context.h"
#include "tunesmith/v1/calibration.pb.h"

namespace tunesmith::profiler {

struct ProbeOptions {
  planner::ModelSpec model;
  int64_t context = 512;
  double budget_seconds = 10;
  std::string device_name = "cpu";  // Hardware::name
  planner::Precision precision = planner::Precision::kFp32;
  bool allows_noise = false;
  // Where samples are kept until the calibration is stored, so that one that was cut off goes on here (KeptSamples); empty: nowhere.
  std::string kept_directory;
  // Where checkpoints go, whose disk is measured; empty: it is not.
  std::string checkpoint_directory;
  std::string rank_binary;  // of ProbeCollectives
  // Told what of the host could not be measured, and why.
  Note note = [](const std::string&) {};
};

// Told after each program; the process is the caller's to fill in.
using ProbeReport = absl::FunctionRef<void(const v1::CalibrationProgress&)>;

// Measures this machine on the ops of ProbePrograms, through the trainer's executor, until the budget is spent: the first three programs always, and as many of the
// others as there is time for, with more repetitions where there is more. Samples that were kept count as measured, and their seconds as spent. Sets the calibration's id,
// fingerprint, rates, step factor and interval. Errors as Executor; RESOURCE_EXHAUSTED when not even the smallest program fits; FAILED_PRECONDITION, unless noise is
// allowed, when other work takes more than a third of the processors, or when equal steps took so unequal times that the rates mean little.
absl::StatusOr<planner::Calibration> Probe(const ProbeOptions& options,
                                           const trainer::OpContext& context, ProbeReport report);

}  // namespace tunesmith::profiler
