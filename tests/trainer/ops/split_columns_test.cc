#include "trainer/ops/split_columns.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

TEST(SplitColumns, PutsPartsOneBehindTheOther) {
  CpuContext context;
  auto x = RandomTensor<float>({5, 6}, 1);
  HostTensor<float> parts({15, 2}, NAN), back({5, 6}, NAN);
  EXPECT_OK(SplitColumns(context, {.x = x, .parts = parts, .part_count = 3}));
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t n = 0; n < 5; ++n) {
      for (int64_t c = 0; c < 2; ++c) ASSERT_EQ(parts[(r * 5 + n) * 2 + c], x[n * 6 + r * 2 + c]);
    }
  }
  EXPECT_OK(JoinColumns(context, {.parts = parts, .x = back, .part_count = 3}));
  EXPECT_EQ(back.values, x.values);
}

// Six parts of three: two have the same columns.
TEST(SplitColumns, RepeatsWhatPartsHaveInCommon) {
  CpuContext context;
  auto x = RandomTensor<float>({4, 6}, 1);
  HostTensor<float> parts({24, 2}, NAN);
  EXPECT_OK(SplitColumns(context, {.x = x, .parts = parts, .part_count = 6}));
  for (int64_t r = 0; r < 6; ++r) {
    for (int64_t n = 0; n < 4; ++n) {
      for (int64_t c = 0; c < 2; ++c)
        ASSERT_EQ(parts[(r * 4 + n) * 2 + c], x[n * 6 + r / 2 * 2 + c]);
    }
  }
}

TEST(JoinColumns, IsTheGradientOfSplitColumns) {
  for (int64_t part_count : {2, 4, 8}) {
    CpuContext context;
    const int64_t width = std::max<int64_t>(12 / part_count, 3);
    auto x = RandomTensor<double>({5, 12}, 1),
         dparts = RandomTensor<double>({part_count * 5, width}, 2);
    HostTensor<double> parts({part_count * 5, width}), dx({5, 12}, NAN);
    const auto loss = [&] {
      EXPECT_OK(SplitColumns(context, {.x = x, .parts = parts, .part_count = part_count}));
      return Weigh(dparts, parts);
    };
    EXPECT_OK(JoinColumns(context, {.parts = dparts, .x = dx, .part_count = part_count}));
    GradientCheck(x, dx, loss, "dx");
  }
}

TEST(SplitColumns, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    auto parts = RandomTensor<float>({4 * 300, 101}, 1);
    HostTensor<float> x({300, 202}, NAN), back({4 * 300, 101}, NAN);
    EXPECT_OK(JoinColumns(context, {.parts = parts, .x = x, .part_count = 4}));
    EXPECT_OK(SplitColumns(context, {.x = x, .parts = back, .part_count = 4}));
    return back.values;
  });
}

TEST(SplitColumns, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> x({5, 6}), parts({10, 4}), short_parts({9, 3});
  ExpectInvalid(SplitColumns(context, {.x = x, .parts = parts, .part_count = 2}),
                "split_columns: parts do not make up the columns of x");
  ExpectInvalid(JoinColumns(context, {.parts = short_parts, .x = x, .part_count = 2}),
                "join_columns: parts is (9, 3)");
}

}  // namespace
}  // namespace tunesmith::trainer
