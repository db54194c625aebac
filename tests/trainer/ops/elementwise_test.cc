#include "trainer/ops/elementwise.h"

#include "common/dtype.h"
#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

TEST(Elementwise, Add) {
  CpuContext context;
  auto x = RandomTensor<float>({3, 20001}, 1), y = RandomTensor<float>({3, 20001}, 2);
  auto expected = y;
  for (int64_t i = 0; i < y.size(); ++i) expected[i] += x[i];
  EXPECT_OK(Add(context, {.x = x, .y = y}));
  EXPECT_EQ(y.values, expected.values);
}

TEST(Elementwise, ClearOfAnyDtype) {
  CpuContext context;
  auto y = IntTensor({1, 2, 3});
  EXPECT_OK(Clear(context, {.y = y}));
  EXPECT_EQ(y.values, (std::vector<int32_t>{0, 0, 0}));
  auto large = RandomTensor<double>({50001}, 1);
  EXPECT_OK(Clear(context, {.y = large}));
  EXPECT_EQ(large.values, std::vector<double>(50001, 0.0));
}

TEST(Elementwise, CopyOfOneDtype) {
  CpuContext context;
  auto x = IntTensor({1, -2, 3});
  HostTensor<int32_t> y({3});
  EXPECT_OK(Copy(context, {.x = x, .y = y}));
  EXPECT_EQ(y.values, x.values);
}

TEST(Elementwise, CopyConverts) {
  CpuContext context;
  auto x = RandomTensor<float>({20001}, 1);
  HostTensor<uint16_t> bf16({20001}), f16({20001});
  HostTensor<double> f64({20001});
  HostTensor<float> back({20001});
  EXPECT_OK(Copy(context, {.x = x, .y = bf16.tensor(DType::kBF16)}));
  EXPECT_OK(Copy(context, {.x = x, .y = f16.tensor(DType::kF16)}));
  EXPECT_OK(Copy(context, {.x = x, .y = f64}));
  for (int64_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(bf16[i], Bf16FromFloat(x[i]));
    ASSERT_EQ(f16[i], F16FromFloat(x[i]));
    ASSERT_EQ(f64[i], x[i]);
  }
  EXPECT_OK(Copy(context, {.x = bf16.tensor(DType::kBF16), .y = back}));
  for (int64_t i = 0; i < x.size(); ++i) ASSERT_EQ(back[i], FloatFromBf16(bf16[i]));
  EXPECT_OK(Copy(context, {.x = f64, .y = back}));
  EXPECT_EQ(back.values, x.values);
}

// Just above the midpoint of two bf16 numbers, by less than f32 can hold: rounding twice would go down to even.
TEST(Elementwise, CopyRoundsF64Once) {
  CpuContext context;
  HostTensor<double> x({4});
  const double midpoint = 1.0 + 0x1p-8;
  x.values = {midpoint + 0x1p-40, midpoint, -(midpoint + 0x1p-40), midpoint - 0x1p-40};
  HostTensor<uint16_t> y({4});
  EXPECT_OK(Copy(context, {.x = x, .y = y.tensor(DType::kBF16)}));
  EXPECT_EQ(FloatFromBf16(y[0]), 1.0f + 0x1p-7f);
  EXPECT_EQ(FloatFromBf16(y[1]), 1.0f);
  EXPECT_EQ(FloatFromBf16(y[2]), -(1.0f + 0x1p-7f));
  EXPECT_EQ(FloatFromBf16(y[3]), 1.0f);
}

TEST(Elementwise, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> x({3}), y({4});
  auto integers = IntTensor({1, 2, 3});
  ExpectInvalid(Add(context, {.x = x, .y = y}), "add: y is (4) f32, expected (3) f32");
  ExpectInvalid(Copy(context, {.x = x, .y = y}), "copy: x and y do not have the same number");
  ExpectInvalid(Copy(context, {.x = x, .y = integers}), "copy: y is (3) i32");
  ExpectInvalid(Clear(context, {.y = {}}), "clear: y has no storage");
}

}  // namespace
}  // namespace tunesmith::trainer
