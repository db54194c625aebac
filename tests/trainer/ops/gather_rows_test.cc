#include "trainer/ops/gather_rows.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

TEST(GatherRows, BringsNamedRowsTogether) {
  CpuContext context;
  auto rows = IntTensor({1, -1, 2, 6});
  auto x = RandomTensor<float>({7, 131}, 1);
  HostTensor<float> y({4, 131}, NAN);
  EXPECT_OK(GatherRows(context, {.x = x, .rows = rows, .y = y}));
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t c = 0; c < 131; ++c)
      ASSERT_EQ(y[i * 131 + c], rows[i] < 0 ? 0.0f : x[rows[i] * 131 + c]);
  }
}

TEST(ScatterRows, IsTheGradientOfGatherRows) {
  CpuContext context;
  auto rows = IntTensor({-1, 0, 3});
  auto x = RandomTensor<double>({5, 3}, 1), dy = RandomTensor<double>({3, 3}, 2);
  HostTensor<double> y({3, 3}), dx({5, 3}, NAN);
  const auto loss = [&] {
    EXPECT_OK(GatherRows(context, {.x = x, .rows = rows, .y = y}));
    return Weigh(dy, y);
  };
  EXPECT_OK(ScatterRows(context, {.dy = dy, .rows = rows, .dx = dx}));
  GradientCheck(x, dx, loss, "dx");
}

TEST(ScatterRows, ClearsEverythingWhereNothingIsNamed) {
  CpuContext context;
  auto rows = IntTensor({-1, -1});
  HostTensor<float> dy({2, 3}, NAN), dx({4, 3}, 7.0f);
  EXPECT_OK(ScatterRows(context, {.dy = dy, .rows = rows, .dx = dx}));
  EXPECT_EQ(dx.values, std::vector<float>(12, 0.0f));
}

TEST(ScatterRows, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    std::vector<int32_t> row(300);
    for (int i = 0; i < 300; ++i) row[i] = i % 5 == 4 ? -1 : 3 * i;
    auto rows = IntTensor(row);
    auto dy = RandomTensor<float>({300, 201}, 1);
    HostTensor<float> dx({900, 201}, NAN);
    EXPECT_OK(ScatterRows(context, {.dy = dy, .rows = rows, .dx = dx}));
    return dx.values;
  });
}

TEST(GatherRows, NamesWhatDoesNotFit) {
  CpuContext context;
  auto rows = IntTensor({0, 5});
  HostTensor<float> x({5, 3}), y({2, 3}), narrow({2, 2});
  ExpectInvalid(GatherRows(context, {.x = x, .rows = rows, .y = y}),
                "gather_rows: rows[1] is 5, the matrix has 5 rows");
  ExpectInvalid(GatherRows(context, {.x = x, .rows = rows, .y = narrow}),
                "gather_rows: y is (2, 2)");
  rows.values = {3, 3};
  ExpectInvalid(ScatterRows(context, {.dy = y, .rows = rows, .dx = x}),
                "scatter_rows: rows[1] is 3, an earlier one is 3: they must ascend");
  rows.values = {-2, 3};
  ExpectInvalid(ScatterRows(context, {.dy = y, .rows = rows, .dx = x}),
                "scatter_rows: rows[0] is -2");
  ExpectInvalid(ScatterRows(context, {.dy = narrow, .rows = rows, .dx = x}),
                "scatter_rows: dy is (2, 2)");
}

}  // namespace
}  // namespace tunesmith::trainer
