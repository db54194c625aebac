#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/answer/predict.h"
#include "planner/price/calibration.h"

// Measured steps, and what the planner says of them.
namespace tunesmith {

// One training step that a host's CPU, or a GPU, took. Data, so that it can be predicted again by later formulas.
struct MeasuredStep {
  std::string model;        // as ModelOf takes it
  int64_t layer_count = 0;  // at most the model's own: its first layers
  int64_t context = 0;
  std::string mix;  // FormatMix
  double seconds = 0;
  double pace_seconds = 0;   // of the profiler's small step meanwhile; 0: not measured
  int64_t device_bytes = 0;  // of a GPU, by the step and its process in all; 0: not measured
};

struct MeasuredHost {
  planner::Calibration calibration;  // whose device_name says where the steps ran; none: on the CPU
  std::vector<MeasuredStep> steps;
};

// Of the catalog, or trainer/selftest_model.h: none of the catalog is so small that emulated devices have the time for it.
absl::StatusOr<planner::ModelSpec> ModelOf(const std::string& name);

absl::StatusOr<planner::Question> QuestionOf(const MeasuredStep& step,
                                             const planner::Calibration& calibration);

// INVALID_ARGUMENT where the model cannot be trained by the mix.
absl::StatusOr<planner::Prediction> PredictStep(const MeasuredStep& step,
                                                const planner::Calibration& calibration);

// The steps of a host, predicted from its rates by the formulas of today.
struct ReplayedHost {
  std::vector<double> errors;  // predicted / measured - 1, by step
  double mean_error = 0;       // of their magnitudes
  double worst_error = 0;
  double bias = 0;  // mean of the errors
  // Mean magnitude where every step is brought to the pace that the machine had while it was calibrated: what remains of the error when the machine is as quick as it was. 0: no pace is known.
  double paced_mean_error = 0;
  double covered_share = 0;  // within the 90 % interval
  // Of the device's memory in all, of steps where it was measured.
  std::vector<double> memory_errors;  // predicted / measured - 1
  double worst_memory_error = 0;      // the largest magnitude
  int64_t memory_under_count = 0;     // steps that took more than predicted
};
absl::StatusOr<ReplayedHost> ReplayHost(const MeasuredHost& host);

// JSON files: {"calibration": ..., "steps": [...]}. Writing is atomic.
absl::Status WriteMeasuredHost(const MeasuredHost& host, const std::string& path);
absl::StatusOr<MeasuredHost> ReadMeasuredHost(const std::string& path);

}  // namespace tunesmith
