#pragma once

#include <cstdint>

#include "tunesmith/v1/job_spec.pb.h"

namespace tunesmith::trainer {

// The learning rate of optimizer step `step` (from 1) of `step_count`: linear warm-up from 0 over training.warmup_step_count steps, reaching
// training.learning_rate at the last of them; then constant, or down to 0 at step_count along a line or half a cosine.
double LearningRateAt(const v1::Training& training, int64_t step, int64_t step_count);

}  // namespace tunesmith::trainer
