#include "trainer/job/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tunesmith::trainer {
namespace {

v1::Training With(v1::Schedule schedule, int64_t warmup) {
  v1::Training training;
  training.set_learning_rate(0.5);
  training.set_schedule(schedule);
  training.set_warmup_step_count(warmup);
  return training;
}

TEST(LearningRateTest, WarmUpIsALineThatReachesThePeakAtItsLastStep) {
  for (v1::Schedule schedule : {v1::SCHEDULE_CONSTANT, v1::SCHEDULE_LINEAR, v1::SCHEDULE_COSINE}) {
    for (int64_t step = 1; step <= 4; ++step)
      EXPECT_DOUBLE_EQ(LearningRateAt(With(schedule, 4), step, 20),
                       0.5 * static_cast<double>(step) / 4);
  }
}

TEST(LearningRateTest, ConstantStays) {
  for (int64_t step : {1, 2, 10, 20})
    EXPECT_EQ(LearningRateAt(With(v1::SCHEDULE_CONSTANT, 0), step, 20), 0.5);
}

TEST(LearningRateTest, LineAndHalfCosineFallFromThePeakTowardsZero) {
  for (int64_t step = 5; step <= 20; ++step) {
    const double done = static_cast<double>(step - 5) / 16;  // 16 steps of decay after 4 of warm-up
    EXPECT_DOUBLE_EQ(LearningRateAt(With(v1::SCHEDULE_LINEAR, 4), step, 20), 0.5 * (1 - done));
    EXPECT_DOUBLE_EQ(LearningRateAt(With(v1::SCHEDULE_COSINE, 4), step, 20),
                     0.25 * (1 + std::cos(std::acos(-1.0) * done)));
  }
}

TEST(LearningRateTest, TheEndOfTheScheduleIsZeroAndWhatIsNotSaidIsACosine) {
  EXPECT_EQ(LearningRateAt(With(v1::SCHEDULE_LINEAR, 0), 21, 20), 0.0);
  EXPECT_NEAR(LearningRateAt(With(v1::SCHEDULE_COSINE, 0), 21, 20), 0.0, 1e-16);
  for (int64_t step : {1, 7, 20}) {
    EXPECT_EQ(LearningRateAt(With(v1::SCHEDULE_UNSPECIFIED, 0), step, 20),
              LearningRateAt(With(v1::SCHEDULE_COSINE, 0), step, 20));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
