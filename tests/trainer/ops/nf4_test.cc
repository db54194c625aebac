#include "trainer/ops/nf4.h"

#include <algorithm>
#include <cmath>

#include "common/units.h"
#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/dequantize_nf4.h"

namespace tunesmith::trainer {
namespace {

using planner::kNf4BlockSize;
using planner::kNf4ScaleBlockSize;

TEST(Nf4, CodesAreThoseOfTheNearestNumbers) {
  for (int code = 0; code < 16; ++code) EXPECT_EQ(Nf4Code(kNf4Values[code]), code);
  for (int i = -1000; i <= 1000; ++i) {
    const float x = static_cast<float>(i) / 997.0f;
    const auto nearest =
        std::min_element(kNf4Values.begin(), kNf4Values.end(),
                         [x](float a, float b) { return std::abs(a - x) < std::abs(b - x); });
    EXPECT_EQ(Nf4Code(x), nearest - kNf4Values.begin()) << x;
  }
}

TEST(Nf4, TheEarlierElementIsInTheHighHalf) {
  const std::vector<float> values = {-2.0f, 2.0f, 0.0f, 1.0f};
  const Nf4Weight w = QuantizeNf4(values, false);
  EXPECT_EQ(w.absmax, std::vector<float>{2.0f});
  // 1 / 2 lies nearer to 0.4407 than to 0.5626.
  EXPECT_EQ(w.codes, (std::vector<uint8_t>{0x0f, 0x7c}));
}

// FNV-1a, 64 bits.
template <typename T>
uint64_t HashOf(const std::vector<T>& values) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(T); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

// What bitsandbytes 0.50.2 makes of the same values on a CPU (quantize_4bit, nf4, blocks of 64, without and with compress_statistics).
TEST(Nf4, IsWhatBitsandbytesMakes) {
  std::vector<float> values(64 * 300);
  for (size_t i = 0; i < values.size(); ++i) {
    const float x = static_cast<float>(static_cast<int>(i * 7919 % 2003) - 1001) / 1001.0f;
    values[i] = x * (1.0f + static_cast<float>(i / 64 * 37 % 101) / 50.0f);
  }
  const Nf4Weight plain = QuantizeNf4(values, false);
  EXPECT_EQ(HashOf(plain.codes), 0x9c8079c35c3f2c30u);
  EXPECT_EQ(HashOf(plain.absmax), 0x1ef251133de37aa8u);
  Nf4Weight twice = QuantizeNf4(values, true);
  EXPECT_EQ(HashOf(twice.codes), 0x9c8079c35c3f2c30u);
  // Nearly half-way between two numbers, bitsandbytes' CPU kernel takes the one that is 0.3 % further.
  EXPECT_EQ(twice.absmax_codes[31], 53);
  twice.absmax_codes[31] = 52;
  EXPECT_EQ(HashOf(twice.absmax_codes), 0x2917feeda257c4abu);
  // A mean is a sum in some order.
  EXPECT_NEAR(twice.absmax_offset, 0x1.fa859ap+0, 2e-7);
  ASSERT_EQ(twice.absmax_scales.size(), 2u);
  EXPECT_NEAR(twice.absmax_scales[0], 0x1.03f192p+0, 2e-7);
  EXPECT_NEAR(twice.absmax_scales[1], 0x1.f2ff84p-1, 2e-7);
}

// Quantizes `weight`, and gives the op's arguments for it.
template <typename T>
struct Quantized {
  HostTensor<uint8_t> codes, absmax_codes;
  HostTensor<float> absmax, scales, offset;
  HostTensor<T> y;
  bool twice;

  Quantized(const HostTensor<float>& weight, bool twice_quantized)
      : codes({weight.dims[0], weight.dims[1] / 2}),
        absmax_codes({CeilDivide(weight.size(), kNf4BlockSize)}),
        absmax(absmax_codes.dims),
        scales({CeilDivide(absmax_codes.size(), kNf4ScaleBlockSize)}),
        offset({1}),
        y(weight.dims),
        twice(twice_quantized) {
    const Nf4Weight w = QuantizeNf4(weight.values, twice);
    codes.values = w.codes;
    offset[0] = w.absmax_offset;
    if (!twice) {
      absmax.values = w.absmax;
      return;
    }
    absmax_codes.values = w.absmax_codes;
    scales.values = w.absmax_scales;
  }

  DequantizeNf4Args args() {
    if (!twice) return {.codes = codes, .absmax = absmax, .y = y};
    return {.codes = codes,
            .absmax = absmax_codes,
            .absmax_scale = scales,
            .absmax_offset = offset,
            .y = y};
  }
};

// A matrix whose last block is not full, with a block of zeros.
HostTensor<float> SomeWeight() {
  auto weight = RandomTensor<float>({301, 70}, 1, 0.02);
  std::fill_n(weight.values.begin() + 5 * kNf4BlockSize, kNf4BlockSize, 0.0f);
  return weight;
}

// The numbers' largest distance is from -1 to -0.696: half of it, times the block's magnitude, is the largest error.
template <typename T>
void ExpectNear(bool twice, double magnitude_error, double rounding) {
  CpuContext context;
  const auto weight = SomeWeight();
  Quantized<T> quantized(weight, twice);
  EXPECT_OK(DequantizeNf4(context, quantized.args()));
  for (int64_t i = 0; i < weight.size(); ++i) {
    const int64_t block = i / kNf4BlockSize * kNf4BlockSize;
    double magnitude = 0;
    for (int64_t j = block; j < std::min(weight.size(), block + kNf4BlockSize); ++j)
      magnitude = std::max<double>(magnitude, std::abs(weight[j]));
    EXPECT_NEAR(double(cpu::Arithmetic<T>(quantized.y[i])), weight[i],
                (0.152 + rounding) * magnitude + magnitude_error)
        << i;
  }
}

TEST(DequantizeNf4, ErrsByHalfAStepAtMost) {
  ExpectNear<float>(false, 0, 0);
  ExpectNear<double>(false, 0, 0);
  ExpectNear<cpu::Bf16>(false, 0, 1.0 / 256);
  // Magnitudes of some 0.05 differ by up to 0.05 from their mean, of which a code keeps all but 2 %.
  ExpectNear<float>(true, 0.002, 0);
}

TEST(DequantizeNf4, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    Quantized<float> quantized(SomeWeight(), true);
    EXPECT_OK(DequantizeNf4(context, quantized.args()));
    return quantized.y.values;
  });
}

TEST(DequantizeNf4, QuantizingWhatWasDequantizedChangesNothing) {
  CpuContext context;
  Quantized<float> once(SomeWeight(), false);
  EXPECT_OK(DequantizeNf4(context, once.args()));
  EXPECT_EQ(QuantizeNf4(once.y.values, false).codes, once.codes.values);
}

TEST(DequantizeNf4, NamesWhatDoesNotFit) {
  CpuContext context;
  Quantized<float> quantized(SomeWeight(), true);
  DequantizeNf4Args args = quantized.args();
  args.absmax_scale = quantized.offset;
  ExpectInvalid(DequantizeNf4(context, args),
                "dequantize_nf4: absmax_scale is (1) f32, expected (2) f32");
}

}  // namespace
}  // namespace tunesmith::trainer
