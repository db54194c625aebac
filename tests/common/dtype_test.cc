#include "common/dtype.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace tunesmith {
namespace {

// Every 16-bit pattern survives the way to float and back, which fixes both conversions at all
// representable values.
TEST(DTypeTest, Every16BitPatternRoundTrips) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float from_bf16 = FloatFromBf16(bits);
    const float from_f16 = FloatFromF16(bits);
    if (std::isnan(from_bf16)) {
      EXPECT_TRUE(std::isnan(FloatFromBf16(Bf16FromFloat(from_bf16))));
    } else {
      EXPECT_EQ(Bf16FromFloat(from_bf16), bits);
    }
    if (std::isnan(from_f16)) {
      EXPECT_TRUE(std::isnan(FloatFromF16(F16FromFloat(from_f16))));
    } else {
      EXPECT_EQ(F16FromFloat(from_f16), bits);
    }
  }
}

// The mid-point between neighbours goes to the even one; a step beyond the mid-point goes to the
// nearer one.
TEST(DTypeTest, RoundsToNearestEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = FloatFromF16(bits);
    const float high = FloatFromF16(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    EXPECT_EQ(F16FromFloat(middle), bits + (bits & 1)) << bits;
    EXPECT_EQ(F16FromFloat(std::nextafter(middle, low)), bits);
    EXPECT_EQ(F16FromFloat(std::nextafter(middle, high)), bits + 1);
  }
  EXPECT_EQ(Bf16FromFloat(1.00390625f), 0x3f80);  // halfway above 1.0: down to even
  EXPECT_EQ(Bf16FromFloat(1.01171875f), 0x3f82);  // halfway above 1.0078125: up to even
}

TEST(DTypeTest, RangeEnds) {
  EXPECT_EQ(FloatFromF16(0x3c00), 1.0f);
  EXPECT_EQ(FloatFromF16(0x7bff), 65504.0f);
  EXPECT_EQ(FloatFromF16(0x0001), 0x1p-24f);
  EXPECT_EQ(F16FromFloat(65519.0f), 0x7bff);
  EXPECT_EQ(F16FromFloat(65520.0f), 0x7c00);
  EXPECT_EQ(F16FromFloat(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(Bf16FromFloat(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(Bf16FromFloat(-2.0f), 0xc000);
}

TEST(DTypeTest, NamesAndSizes) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(DTypeFromName(DTypeName(dtype)), dtype);
    EXPECT_GT(SizeOf(dtype), 0);
  }
  EXPECT_FALSE(DTypeFromName("f12").has_value());
  EXPECT_EQ(SizeOf(DType::kBF16), 2);
}

}  // namespace
}  // namespace tunesmith
