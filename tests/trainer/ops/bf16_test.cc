// Every op stored in bf16 against the same op stored in f32 on the same numbers: arithmetic is f32 in both, so the results differ by one
// rounding to bf16, and where sums are taken in another order by the rounding of f32 sums.
#include "planner/program/linear_workspace.h"
#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/cross_entropy.h"
#include "trainer/ops/decode.h"
#include "trainer/ops/elementwise.h"
#include "trainer/ops/embedding.h"
#include "trainer/ops/gradient_norm.h"
#include "trainer/ops/linear.h"
#include "trainer/ops/rms_norm.h"
#include "trainer/ops/rope.h"
#include "trainer/ops/swiglu.h"

namespace tunesmith::trainer {
namespace {

using cpu::Bf16;

// Half of the distance between neighbours, relative.
constexpr double kHalfUlp = 0x1p-8;

// Normally distributed numbers that bf16 holds exactly.
template <typename S>
HostTensor<S> Exact(std::vector<int64_t> dims, uint32_t seed, double deviation = 1.0) {
  const HostTensor<float> wide = RandomTensor<float>(dims, seed, deviation);
  HostTensor<S> tensor(std::move(dims));
  for (int64_t i = 0; i < wide.size(); ++i) tensor[i] = S(float(Bf16(wide[i])));
  return tensor;
}

// What an op wrote, and how far its elements may be from the f32 op's beside their own rounding: relative to the largest of them.
struct Result {
  std::string name;
  std::vector<double> values;
  bool narrow = false;  // stored in bf16
  double sum_error = 0;
};

template <typename S>
Result ResultOf(const std::string& name, const HostTensor<S>& tensor, double sum_error = 1e-6) {
  Result result{.name = name, .narrow = std::is_same_v<S, Bf16>, .sum_error = sum_error};
  for (const S& value : tensor.values)
    result.values.push_back(static_cast<double>(cpu::Arithmetic<S>(value)));
  return result;
}

void ExpectRoundedOnce(const std::vector<Result>& actual, const std::vector<Result>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t r = 0; r < actual.size(); ++r) {
    const Result &a = actual[r], &e = expected[r];
    ASSERT_EQ(a.values.size(), e.values.size()) << a.name;
    double largest = 0;
    for (double value : e.values) largest = std::max(largest, std::abs(value));
    for (size_t i = 0; i < a.values.size(); ++i) {
      const double allowed = (a.narrow ? kHalfUlp * std::abs(e.values[i]) : 0.0) +
                             e.sum_error * largest * (a.narrow ? 1 + kHalfUlp : 1.0);
      ASSERT_LE(std::abs(a.values[i] - e.values[i]), allowed)
          << a.name << "[" << i << "] is " << a.values[i] << ", f32 gives " << e.values[i];
    }
  }
}

// op(S{}, A{}) runs an op with storage S and accumulator A and returns what it wrote.
template <typename Op>
void TestStorage(Op op) {
  const std::vector<Result> expected = op(float{}, float{});
  ExpectRoundedOnce(op(Bf16{}, float{}), expected);
  ExpectRoundedOnce(op(Bf16{}, Bf16{}), expected);
  ExpectRoundedOnce(op(float{}, Bf16{}), expected);
}

HostTensor<float> LinearWorkspace(int64_t m, int64_t n, int64_t k, int64_t workers = 2) {
  // The garbage of an earlier op.
  return HostTensor<float>({workers, planner::LinearTileOf(m, n, k).WorkerElements()}, NAN);
}

TEST(Bf16, Linear) {
  for (auto [BT, I, O] : {std::array<int64_t, 3>{1, 1, 1},
                          {1, 37, 301},
                          {7, 5, 3},
                          {300, 65, 310},
                          {530, 600, 70},
                          {70, 3, 9001},
                          {3, 0, 4}}) {
    TestStorage([&](auto storage, auto) {
      using S = decltype(storage);
      CpuContext context;
      auto x = Exact<S>({BT, I}, 1), weight = Exact<S>({O, I}, 2), addend = Exact<S>({BT, O}, 3);
      auto bias = Exact<S>({O}, 4);
      HostTensor<S> y({BT, O}, S(NAN)), added({BT, O}, S(NAN)), biased({BT, O}, S(NAN));
      auto workspace = LinearWorkspace(BT, O, I);
      EXPECT_OK(Linear(context,
                       {.x = x, .weight = weight, .y = y, .scale = 0.5, .workspace = workspace}));
      EXPECT_OK(
          Linear(context,
                 {.x = x, .weight = weight, .addend = addend, .y = added, .workspace = workspace}));
      EXPECT_OK(Linear(
          context,
          {.x = x, .weight = weight, .addend = addend, .y = addend, .workspace = workspace}));
      EXPECT_OK(LinearBias(
          context, {.x = x, .weight = weight, .bias = bias, .y = biased, .workspace = workspace}));
      return std::vector<Result>{ResultOf("y", y), ResultOf("y with addend", added),
                                 ResultOf("y in addend's storage", addend),
                                 ResultOf("y with bias", biased)};
    });
  }
}

TEST(Bf16, LinearBackward) {
  for (auto [BT, I, O] :
       {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {301, 77, 520}, {900, 65, 31}, {0, 4, 3}}) {
    for (bool accumulate : {false, true}) {
      TestStorage([&](auto storage, auto accumulator) {
        using S = decltype(storage);
        using A = decltype(accumulator);
        CpuContext context;
        auto x = Exact<S>({BT, I}, 1), weight = Exact<S>({O, I}, 2), dy = Exact<S>({BT, O}, 3);
        auto dx = Exact<S>({BT, I}, 4);
        auto dweight = Exact<A>({O, I}, 5);
        auto dbias = Exact<A>({O}, 6);
        auto input_workspace = LinearWorkspace(BT, I, O),
             weight_workspace = LinearWorkspace(O, I, BT);
        EXPECT_OK(LinearBackwardInput(context, {.dy = dy,
                                                .weight = weight,
                                                .dx = dx,
                                                .scale = 0.5,
                                                .accumulate = accumulate,
                                                .workspace = input_workspace}));
        EXPECT_OK(LinearBackwardWeight(context, {.dy = dy,
                                                 .x = x,
                                                 .dweight = dweight,
                                                 .scale = 0.5,
                                                 .accumulate = accumulate,
                                                 .workspace = weight_workspace}));
        EXPECT_OK(BiasBackward(context, {.dy = dy, .dbias = dbias, .accumulate = accumulate}));
        return std::vector<Result>{ResultOf("dx", dx), ResultOf("dweight", dweight),
                                   ResultOf("dbias", dbias)};
      });
    }
  }
}

TEST(Bf16, LinearSameForAnyThreadCountAndWorkspace) {
  const auto run = [](const OpContext& context, int64_t workers) {
    auto x = Exact<Bf16>({301, 77}, 1), weight = Exact<Bf16>({520, 77}, 2);
    HostTensor<Bf16> y({301, 520});
    auto workspace = LinearWorkspace(301, 520, 77, workers);
    EXPECT_OK(Linear(context, {.x = x, .weight = weight, .y = y, .workspace = workspace}));
    return ResultOf("y", y).values;
  };
  for (int64_t workers : {1, 3, 16})
    ExpectSameForAnyThreadCount<double>([&](const OpContext& any) { return run(any, workers); });
  CpuContext context;
  EXPECT_EQ(run(context, 1), run(context, 16));
}

TEST(Bf16, LinearNamesAWorkspaceThatIsMissing) {
  CpuContext context;
  HostTensor<Bf16> x({2, 3}), weight({4, 3}), y({2, 4});
  ExpectInvalid(Linear(context, {.x = x, .weight = weight, .y = y}),
                "linear: workspace has less than");
}

TEST(Bf16, RmsNorm) {
  for (int64_t C : {1, 37, 577}) {
    for (bool accumulate : {false, true}) {
      TestStorage([&](auto storage, auto accumulator) {
        using S = decltype(storage);
        using A = decltype(accumulator);
        CpuContext context;
        auto x = Exact<S>({33, C}, 1), weight = Exact<S>({C}, 2), dy = Exact<S>({33, C}, 3);
        auto dx = Exact<S>({33, C}, 4);
        auto dweight = Exact<A>({C}, 5);
        HostTensor<S> y({33, C});
        HostTensor<float> rstd({33});
        EXPECT_OK(
            RmsNorm(context, {.x = x, .weight = weight, .y = y, .rstd = rstd, .epsilon = 1e-5}));
        EXPECT_OK(RmsNormBackward(context, {.dy = dy,
                                            .x = x,
                                            .weight = weight,
                                            .rstd = rstd,
                                            .dx = dx,
                                            .accumulate = accumulate}));
        EXPECT_OK(RmsNormBackwardWeight(
            context,
            {.dy = dy, .x = x, .rstd = rstd, .dweight = dweight, .accumulate = accumulate}));
        return std::vector<Result>{ResultOf("y", y), ResultOf("rstd", rstd), ResultOf("dx", dx),
                                   ResultOf("dweight", dweight)};
      });
    }
  }
}

TEST(Bf16, SwiGlu) {
  TestStorage([](auto storage, auto) {
    using S = decltype(storage);
    CpuContext context;
    auto gate = Exact<S>({5, 4001}, 1, 3.0), up = Exact<S>({5, 4001}, 2);
    auto dy = Exact<S>({5, 4001}, 3);
    HostTensor<S> y({5, 4001}), dgate({5, 4001}), dup({5, 4001});
    EXPECT_OK(SwiGlu(context, {.gate = gate, .up = up, .y = y}));
    EXPECT_OK(
        SwiGluBackward(context, {.dy = dy, .gate = gate, .up = up, .dgate = dgate, .dup = dup}));
    return std::vector<Result>{ResultOf("y", y), ResultOf("dgate", dgate), ResultOf("dup", dup)};
  });
}

TEST(Bf16, Rope) {
  TestStorage([](auto storage, auto) {
    using S = decltype(storage);
    CpuContext context;
    auto x = Exact<S>({3, 5 * 38}, 1), back = Exact<S>({3, 5 * 38}, 2);
    auto positions = IntTensor({0, 1, 8191});
    EXPECT_OK(
        Rope(context,
             {.x = x, .positions = positions, .head_count = 5, .head_size = 38, .theta = 10000}));
    EXPECT_OK(RopeBackward(
        context,
        {.x = back, .positions = positions, .head_count = 5, .head_size = 38, .theta = 10000}));
    return std::vector<Result>{ResultOf("x", x), ResultOf("turned back", back)};
  });
}

TEST(Bf16, CrossEntropy) {
  TestStorage([](auto storage, auto) {
    using S = decltype(storage);
    CpuContext context;
    auto logits = Exact<S>({9, 1031}, 1, 3.0);
    auto labels = IntTensor({0, 1030, -1, 5, 5, -100, 77, 1, 2});
    HostTensor<float> loss_scale({1}, 0.125f);
    HostTensor<double> sum({1}), in_place_sum({1});
    EXPECT_OK(CrossEntropy(context, {.logits = logits, .labels = labels, .loss_sum = sum}));
    EXPECT_OK(CrossEntropyInPlace(
        context,
        {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = in_place_sum}));
    return std::vector<Result>{ResultOf("loss", sum), ResultOf("loss in place", in_place_sum),
                               ResultOf("dlogits", logits)};
  });
}

// The gradient of a label that is all but certain is a small difference of numbers near one: it must be taken before it is rounded.
TEST(Bf16, TheGradientOfAnAlmostCertainLabelKeepsItsDigits) {
  CpuContext context;
  HostTensor<Bf16> logits({1, 2});
  logits[0] = Bf16(7.0f);
  auto labels = IntTensor({0});
  HostTensor<float> loss_scale({1}, 1.0f);
  HostTensor<double> sum({1});
  EXPECT_OK(CrossEntropyInPlace(
      context, {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = sum}));
  const double expected = 1 / (1 + std::exp(-7.0)) - 1;
  EXPECT_NEAR(float(logits[0]), expected, 1e-2 * -expected);
}

TEST(Bf16, Embedding) {
  for (bool accumulate : {false, true}) {
    TestStorage([&](auto storage, auto accumulator) {
      using S = decltype(storage);
      using A = decltype(accumulator);
      CpuContext context;
      constexpr int64_t kWidth = 1100;  // more columns than are summed at once
      auto weight = Exact<S>({7, kWidth}, 1), dy = Exact<S>({300, kWidth}, 2);
      auto dweight = Exact<A>({7, kWidth}, 3);
      HostTensor<S> y({300, kWidth});
      HostTensor<int32_t> tokens({300});
      for (int64_t i = 0; i < 300; ++i) tokens[i] = static_cast<int32_t>(i * i % 5);
      EXPECT_OK(Embedding(context, {.tokens = tokens, .weight = weight, .y = y}));
      EXPECT_OK(EmbeddingBackward(
          context, {.tokens = tokens, .dy = dy, .dweight = dweight, .accumulate = accumulate}));
      return std::vector<Result>{ResultOf("y", y), ResultOf("dweight", dweight)};
    });
  }
}

TEST(Bf16, AddAndSumSquares) {
  TestStorage([](auto storage, auto) {
    using S = decltype(storage);
    CpuContext context;
    auto x = Exact<S>({40003}, 1), y = Exact<S>({40003}, 2);
    HostTensor<double> sum({1});
    EXPECT_OK(Add(context, {.x = x, .y = y}));
    EXPECT_OK(SumSquares(context, {.x = x, .sum = sum}));
    return std::vector<Result>{ResultOf("y", y), ResultOf("sum", sum, 1e-12)};
  });
}

TEST(Bf16, Decode) {
  TestStorage([](auto storage, auto) {
    using S = decltype(storage);
    CpuContext context;
    constexpr int64_t kContext = 9, kHeads = 6, kKvHeads = 2, kSize = 70;
    auto q = Exact<S>({1, kHeads * kSize}, 1), x = Exact<S>({1, kKvHeads * kSize}, 4);
    auto k = Exact<S>({kContext, kKvHeads * kSize}, 2),
         v = Exact<S>({kContext, kKvHeads * kSize}, 3);
    auto position = IntTensor({5});
    HostTensor<S> o({1, kHeads * kSize});
    HostTensor<float> scores({kHeads, kContext});
    EXPECT_OK(CacheAppend(context, {.x = x, .positions = position, .cache = k}));
    EXPECT_OK(DecodeAttention(context, {.q = q,
                                        .k_cache = k,
                                        .v_cache = v,
                                        .positions = position,
                                        .o = o,
                                        .scores = scores,
                                        .shape = {.context = kContext,
                                                  .head_count = kHeads,
                                                  .kv_head_count = kKvHeads,
                                                  .head_size = kSize,
                                                  .scale = 0.12}}));
    HostTensor<int32_t> token({1});
    EXPECT_OK(ArgMax(context, {.logits = q, .token = token}));
    return std::vector<Result>{ResultOf("o", o), ResultOf("cache", k), ResultOf("token", token)};
  });
}

}  // namespace
}  // namespace tunesmith::trainer
