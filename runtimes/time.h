#pragma once

#include <string>

#include "runtimes/setup.h"

// Seconds of an optimizer step of another runtime, in closed form.
namespace tunesmith::runtimes {

struct TimePrediction {
  double step_seconds = 0;  // one optimizer step, all micro-batches
  double low_seconds = 0;   // nine of ten runs are expected between these
  double high_seconds = 0;
  double tokens_per_second_per_gpu = 0;
  // Of the step; they overlap, so they need not add up.
  double gemm_seconds = 0;
  double attention_seconds = 0;
  double elementwise_seconds = 0;  // norms, positions, casts, adapters' sums, the loss
  double dequantization_seconds = 0;
  double host_seconds = 0;           // what Python and launches take; the step is no quicker
  double communication_seconds = 0;  // exposed
  double optimizer_seconds = 0;
  bool known_device = false;  // its rates come from published measurements
  std::string note = {};
};

// REQUIRES: ValidateSetup(setup) is OK.
TimePrediction PredictTime(const RunSetup& setup);

}  // namespace tunesmith::runtimes
