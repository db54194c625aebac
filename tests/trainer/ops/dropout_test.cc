#include "trainer/ops/dropout.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "planner/program/program.h"
#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

class DropoutTest : public ::testing::Test {
 protected:
  // Rows [begin, begin + count) of tokens of 64 ones, in rows of 8 tokens of which the first is `first_row` of the step.
  std::vector<float> Drop(int64_t begin, int64_t count, uint64_t first_row, double share) {
    std::vector<float> x(static_cast<size_t>(count * 64), 1.0f), y(x.size());
    std::array<uint64_t, 2> key = {planner::DropoutKey(5, 3), 8 * first_row};
    const absl::Status status =
        Dropout({.threads = &threads_},
                {.x = {.data = x.data(), .dims = {count, 64, 1}, .rank = 2},
                 .key = {.data = key.data(), .dtype = DType::kU64, .dims = {2, 1, 1}, .rank = 1},
                 .y = {.data = y.data(), .dims = {count, 64, 1}, .rank = 2},
                 .share = share,
                 .module_key = 11,
                 .layer = 2,
                 .context = 8,
                 .row_begin = begin});
    EXPECT_TRUE(status.ok()) << status;
    return y;
  }

  ThreadPool threads_{2};
};

TEST_F(DropoutTest, DropsTheShareAndKeepsTheMean) {
  const std::vector<float> y = Drop(0, 64, 0, 0.25);
  const auto dropped = std::count(y.begin(), y.end(), 0.0f);
  // 4096 draws: six standard deviations are 0.04.
  EXPECT_NEAR(static_cast<double>(dropped) / 4096, 0.25, 0.04);
  for (float value : y) EXPECT_TRUE(value == 0 || value == 1 / 0.75f) << value;
}

TEST_F(DropoutTest, PartsAreThoseOfTheWhole) {
  const std::vector<float> whole = Drop(0, 24, 4, 0.5);
  std::vector<float> parts = Drop(0, 11, 4, 0.5);
  for (float value : Drop(11, 13, 4, 0.5)) parts.push_back(value);
  EXPECT_EQ(parts, whole);
  // Rows of another micro-batch are rows of the step.
  const std::vector<float> later = Drop(0, 8, 6, 0.5);
  EXPECT_TRUE(std::equal(later.begin(), later.end(), whole.begin() + 2 * 8 * 64));
  EXPECT_NE(Drop(0, 8, 7, 0.5), later);
}

TEST_F(DropoutTest, NothingIsDroppedOfNothing) {
  for (float value : Drop(0, 8, 0, 0.0)) EXPECT_EQ(value, 1.0f);
}

}  // namespace
}  // namespace tunesmith::trainer
