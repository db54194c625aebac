#include "common/units.h"

#include <gtest/gtest.h>

namespace tunesmith {
namespace {

TEST(UnitsTest, FormatsBytesForPeople) {
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(3 * kGiB / 2), "1.50 GiB");
}

TEST(UnitsTest, FormatsSecondsForPeople) {
  EXPECT_EQ(FormatSeconds(0.0351), "35.1 ms");
  EXPECT_EQ(FormatSeconds(7500), "2 h 05 min");
  EXPECT_EQ(FormatSeconds(59.999 + 60), "2 min 00 s");
}

TEST(UnitsTest, CheckedMultiplyRefusesOverflowAndNegatives) {
  EXPECT_EQ(CheckedMultiply(6, 7, "shape").value(), 42);
  EXPECT_FALSE(CheckedMultiply(int64_t{1} << 40, int64_t{1} << 40, "shape").ok());
  EXPECT_FALSE(CheckedMultiply(-1, 2, "shape").ok());
}

TEST(UnitsTest, AlignUp) {
  EXPECT_EQ(AlignUp(0, 64), 0);
  EXPECT_EQ(AlignUp(65, 64), 128);
}

}  // namespace
}  // namespace tunesmith
