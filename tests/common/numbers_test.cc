#include "common/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tunesmith {
namespace {

TEST(NumbersTest, IntegersAreStrict) {
  int64_t value = 7;
  EXPECT_TRUE(ParseInt64("-12", &value));
  EXPECT_EQ(value, -12);
  for (const char* text : {"", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "9223372036854775808"}) {
    EXPECT_FALSE(ParseInt64(text, &value)) << text;
  }
  EXPECT_EQ(value, -12);
}

TEST(NumbersTest, RealsAreFiniteAndStrict) {
  double value = 7;
  EXPECT_TRUE(ParseDouble("1e-5", &value));
  EXPECT_EQ(value, 1e-5);
  for (const char* text : {"", "nan", "inf", "-inf", "1e999", "0.5 ", "+1", "1,5"}) {
    EXPECT_FALSE(ParseDouble(text, &value)) << text;
  }
  EXPECT_EQ(value, 1e-5);
}

TEST(NumbersTest, FormattedRealsReadBack) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const double value = std::ldexp(static_cast<double>(static_cast<int64_t>(random())),
                                    static_cast<int>(random() % 200) - 100);
    double parsed = 0;
    ASSERT_TRUE(ParseDouble(FormatDouble(value), &parsed)) << value;
    EXPECT_EQ(parsed, value);
  }
  EXPECT_EQ(FormatDouble(32.0), "32");
}

}  // namespace
}  // namespace tunesmith
