#include "trainer/job/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tunesmith::trainer {

double LearningRateAt(const v1::Training& training, int64_t step, int64_t step_count) {
  const double peak = training.learning_rate();
  const int64_t warmup = training.warmup_step_count();
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  // Share of the decay that is behind: 0 at the first step after the warm-up.
  const double length = static_cast<double>(std::max<int64_t>(step_count - warmup, 1));
  const double done = std::clamp(static_cast<double>(step - 1 - warmup) / length, 0.0, 1.0);
  switch (training.schedule()) {
    case v1::SCHEDULE_CONSTANT:
      return peak;
    case v1::SCHEDULE_LINEAR:
      return peak * (1 - done);
    default:
      return peak * 0.5 * (1 + std::cos(std::numbers::pi * done));
  }
}

}  // namespace tunesmith::trainer
