#include "common/random.h"

#include <gtest/gtest.h>

#include <array>

namespace tunesmith {
namespace {

TEST(RandomTest, FirstOutputsAreSplitMix64s) {
  // The published test vector of SplitMix64 with seed 1234567.
  EXPECT_EQ(RandomBits(1234567, 0), 6457827717110365317u);
  EXPECT_EQ(RandomBits(1234567, 1), 3203168211198807973u);
  EXPECT_EQ(RandomBits(1234567, 2), 9817491932198370423u);
}

TEST(RandomTest, KeysOfDifferentNamesAndSeedsDiffer) {
  EXPECT_NE(RandomKey(1, "a"), RandomKey(1, "b"));
  EXPECT_NE(RandomKey(1, "a"), RandomKey(2, "a"));
  EXPECT_NE(RandomKey(1, uint64_t{0}), RandomKey(1, uint64_t{1}));
}

TEST(RandomTest, MomentsOfTheNormal) {
  constexpr int kCount = 100000;
  double sum = 0, squares = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double x = RandomNormal(7, i);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.02);
  EXPECT_NEAR(squares / kCount, 1.0, 0.02);
}

TEST(RandomTest, BelowCoversItsRangeEvenly) {
  std::array<int, 5> counts = {};
  for (uint64_t i = 0; i < 50000; ++i) ++counts.at(static_cast<size_t>(RandomBelow(3, i, 5)));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
}

}  // namespace
}  // namespace tunesmith
