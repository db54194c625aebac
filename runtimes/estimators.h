#pragma once

#include "runtimes/setup.h"

// What other estimators say of a run: their formulas, for comparison. They leave activations out; so they are meant to.
namespace tunesmith::runtimes {

struct EstimatorBytes {
  double deepspeed = 0;   // deepspeed.runtime.zero's estimate_zero2/3_model_states_mem_needs
  double accelerate = 0;  // accelerate estimate-memory's "training" column, batch 1
  double eighteen_per_parameter = 0;  // 18 bytes for each trained parameter, 2 for each frozen one
};

// Bytes per GPU.
EstimatorBytes OtherEstimates(const RunSetup& setup);

}  // namespace tunesmith::runtimes
