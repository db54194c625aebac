#include "trainer/ops/attention.h"

#include "planner/program/workspace.h"
#include "tests/trainer/ops/op_test_util.h"
#include "trainer/ops/alibi.h"
#include "trainer/ops/flash_attention.h"

namespace tunesmith::trainer {
namespace {

enum class Kernel { kEager, kFlash };

// Tokens of each document of a row, in order; they sum to the context.
using Documents = std::vector<int64_t>;

HostTensor<int32_t> DocumentStarts(const std::vector<Documents>& rows) {
  std::vector<int32_t> starts;
  for (const Documents& row : rows) {
    int64_t first = 0;
    for (int64_t length : row) {
      starts.insert(starts.end(), length, static_cast<int32_t>(first));
      first += length;
    }
  }
  return IntTensor(starts);
}

int64_t SumOf(const Documents& row) {
  int64_t sum = 0;
  for (int64_t length : row) sum += length;
  return sum;
}

template <typename T>
struct Case {
  AttentionShape shape;
  int64_t B, BT;
  HostTensor<int32_t> document_starts;
  HostTensor<T> q, k, v, d_o, o, dq, dk, dv, probabilities, log_sum_exp;
  HostTensor<T> backward_workspace, flash_workspace;

  Case(std::vector<Documents> rows, int64_t H, int64_t K, int64_t D, int64_t workers = 3,
       int64_t window = 0)
      : shape{.context = SumOf(rows[0]),
              .head_count = H,
              .kv_head_count = K,
              .head_size = D,
              .scale = 1 / std::sqrt(static_cast<double>(D)),
              .window = window},
        B(static_cast<int64_t>(rows.size())),
        BT(B * shape.context),
        document_starts(DocumentStarts(rows)),
        q(ConvertTensor<T>(RandomTensor<double>({BT, H * D}, 1))),
        k(ConvertTensor<T>(RandomTensor<double>({BT, K * D}, 2))),
        v(ConvertTensor<T>(RandomTensor<double>({BT, K * D}, 3))),
        d_o(ConvertTensor<T>(RandomTensor<double>({BT, H * D}, 4))),
        o({BT, H * D}, NAN),
        dq({BT, H * D}, NAN),
        dk({BT, K * D}, NAN),
        dv({BT, K * D}, NAN),
        probabilities({B * H, shape.context, shape.context}, NAN),
        log_sum_exp({B * H, shape.context}, NAN),
        backward_workspace({planner::AttentionBackwardWorkspaceElements(shape.context, workers)},
                           NAN),
        flash_workspace({planner::FlashAttentionWorkspaceElements(D, workers)}, NAN) {}

  absl::Status Forward(Kernel kernel, const OpContext& context) {
    if (kernel == Kernel::kEager) {
      return Attention(context, {.q = q,
                                 .k = k,
                                 .v = v,
                                 .document_starts = document_starts,
                                 .o = o,
                                 .probabilities = probabilities,
                                 .shape = shape});
    }
    return FlashAttention(context, {.q = q,
                                    .k = k,
                                    .v = v,
                                    .document_starts = document_starts,
                                    .o = o,
                                    .log_sum_exp = log_sum_exp,
                                    .workspace = flash_workspace,
                                    .shape = shape});
  }

  absl::Status Backward(Kernel kernel, const OpContext& context) {
    if (kernel == Kernel::kEager) {
      return AttentionBackward(context, {.d_o = d_o,
                                         .q = q,
                                         .k = k,
                                         .v = v,
                                         .probabilities = probabilities,
                                         .document_starts = document_starts,
                                         .dq = dq,
                                         .dk = dk,
                                         .dv = dv,
                                         .workspace = backward_workspace,
                                         .shape = shape});
    }
    return FlashAttentionBackward(context, {.d_o = d_o,
                                            .q = q,
                                            .k = k,
                                            .v = v,
                                            .o = o,
                                            .log_sum_exp = log_sum_exp,
                                            .document_starts = document_starts,
                                            .dq = dq,
                                            .dk = dk,
                                            .dv = dv,
                                            .workspace = flash_workspace,
                                            .shape = shape});
  }
};

// The first key that a token sees, counted in its row, by the definition in attention.h.
int64_t FirstKey(const AttentionShape& shape, const HostTensor<int32_t>& starts, int64_t token) {
  const int64_t i = token % shape.context;
  return shape.window == 0 ? starts[token] : std::max<int64_t>(starts[token], i - shape.window + 1);
}

double ChangedScore(const AttentionShape& shape, int64_t h, double distance, double score) {
  if (shape.soft_cap > 0) score = shape.soft_cap * std::tanh(score / shape.soft_cap);
  return score -
         shape.alibi_factor * AlibiSlope(h, shape.head_count, shape.alibi_bias_max) * distance;
}

// One query at a time, straight from the definition, in f64.
template <typename T>
HostTensor<double> ExpectedO(const Case<T>& c) {
  const int64_t H = c.shape.head_count, K = c.shape.kv_head_count, D = c.shape.head_size;
  const int64_t context = c.shape.context;
  HostTensor<double> o({c.BT, H * D});
  for (int64_t i = 0; i < c.BT; ++i) {
    const int64_t row = i / context * context;
    for (int64_t h = 0; h < H; ++h) {
      const int64_t kv = h / (H / K);
      double total = 0;
      for (int64_t j = row + FirstKey(c.shape, c.document_starts, i); j <= i; ++j) {
        double score = 0;
        for (int64_t d = 0; d < D; ++d) {
          score += static_cast<double>(c.q[(i * H + h) * D + d]) * c.k[(j * K + kv) * D + d];
        }
        const double weight =
            std::exp(ChangedScore(c.shape, h, static_cast<double>(i - j), score * c.shape.scale));
        total += weight;
        for (int64_t d = 0; d < D; ++d)
          o[(i * H + h) * D + d] += weight * c.v[(j * K + kv) * D + d];
      }
      for (int64_t d = 0; d < D; ++d) o[(i * H + h) * D + d] /= total;
    }
  }
  return o;
}

class AttentionTest : public ::testing::TestWithParam<Kernel> {
 protected:
  void CheckGradients(int64_t window);

  CpuContext context_;
};

TEST_P(AttentionTest, ForwardAtOddSizes) {
  // Rows of one document and of several; longer and shorter than a tile; one key/value head for all, for some and for each query head.
  const std::vector<std::tuple<std::vector<Documents>, int64_t, int64_t, int64_t>> cases = {
      {{{1}}, 1, 1, 1},
      {{{7}, {3, 4}}, 2, 1, 3},
      {{{5, 1, 131, 12, 140}, {289}}, 4, 2, 5},
      {{{128, 128, 1}}, 3, 3, 8},
      {{{300, 1, 1, 1, 90}}, 6, 2, 4},
  };
  // No window, one that sees a token alone, and windows that end within tiles and beyond rows.
  for (const auto& [rows, H, K, D] : cases) {
    for (int64_t window : {0, 1, 2, 63, 64, 100, 1000}) {
      const std::string what = " with a window of " + std::to_string(window);
      Case<float> single(rows, H, K, D, 3, window);
      EXPECT_OK(single.Forward(GetParam(), context_));
      ExpectClose(single.o, ExpectedO(single), 1e-5, "f32" + what);
      Case<double> exact(rows, H, K, D, 3, window);
      EXPECT_OK(exact.Forward(GetParam(), context_));
      ExpectClose(exact.o, ExpectedO(exact), 1e-13, "f64" + what);
    }
  }
}

TEST_P(AttentionTest, Gradients) {
  for (int64_t window : {0, 3}) CheckGradients(window);
}

void AttentionTest::CheckGradients(int64_t window) {
  Case<double> c({{4, 1, 3}, {8}}, 4, 2, 3, 3, window);
  const auto loss = [&] {
    EXPECT_OK(c.Forward(GetParam(), context_));
    return Weigh(c.d_o, c.o);
  };
  loss();
  EXPECT_OK(c.Backward(GetParam(), context_));
  GradientCheck(c.q, c.dq, loss, "dq");
  GradientCheck(c.k, c.dk, loss, "dk");
  GradientCheck(c.v, c.dv, loss, "dv");
}

TEST_P(AttentionTest, SoftCapsAndAlibi) {
  for (const auto& [cap, alibi] : {std::pair(0.8, 0.0), std::pair(0.0, 8.0), std::pair(1.5, 4.0)}) {
    const auto change = [&](auto& c) {
      c.shape.soft_cap = cap;
      c.shape.alibi_bias_max = alibi;
      c.shape.alibi_factor = 0.6;
    };
    Case<double> exact({{5, 131, 30}, {166}}, 6, 2, 5, 3, 90);
    change(exact);
    EXPECT_OK(exact.Forward(GetParam(), context_));
    ExpectClose(exact.o, ExpectedO(exact), 1e-13, "f64");
    Case<float> single({{5, 131, 30}, {166}}, 6, 2, 5, 3, 90);
    change(single);
    EXPECT_OK(single.Forward(GetParam(), context_));
    ExpectClose(single.o, ExpectedO(single), 1e-5, "f32");
    Case<double> c({{4, 1, 3}, {8}}, 6, 2, 3, 3, 3);
    change(c);
    const auto loss = [&] {
      EXPECT_OK(c.Forward(GetParam(), context_));
      return Weigh(c.d_o, c.o);
    };
    loss();
    EXPECT_OK(c.Backward(GetParam(), context_));
    GradientCheck(c.q, c.dq, loss, "dq");
    GradientCheck(c.k, c.dk, loss, "dk");
    GradientCheck(c.v, c.dv, loss, "dv");
  }
}

// What a token sees does not change with what lies behind it or in other documents.
TEST_P(AttentionTest, DoesNotSeeTheFutureOrOtherDocuments) {
  Case<float> c({{140, 60}}, 2, 1, 4), changed({{140, 60}}, 2, 1, 4);
  for (int64_t i = 0; i < 200 * 4; ++i) {
    const bool seen = i >= 140 * 4 && i < 150 * 4;  // tokens 140 to 149
    if (!seen) changed.k[i] = changed.v[i] = 1e4f;
  }
  EXPECT_OK(c.Forward(GetParam(), context_));
  EXPECT_OK(changed.Forward(GetParam(), context_));
  for (int64_t i = 140 * 8; i < 150 * 8; ++i) ASSERT_EQ(c.o[i], changed.o[i]) << i;
}

TEST_P(AttentionTest, SurvivesLargeScores) {
  Case<float> c({{150}}, 1, 1, 4);
  for (float& value : c.q.values) value *= 1e3f;
  EXPECT_OK(c.Forward(GetParam(), context_));
  EXPECT_OK(c.Backward(GetParam(), context_));
  for (float value : c.o.values) ASSERT_TRUE(std::isfinite(value));
  for (float value : c.dq.values) ASSERT_TRUE(std::isfinite(value));
}

TEST_P(AttentionTest, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    // Fewer workers than threads, too: the third context has 3 threads, the fourth 7.
    Case<float> c({{200, 100}, {300}}, 6, 2, 16, 3, 90);
    EXPECT_OK(c.Forward(GetParam(), context));
    EXPECT_OK(c.Backward(GetParam(), context));
    auto all = c.o.values;
    for (const auto* part : {&c.dq, &c.dk, &c.dv}) {
      all.insert(all.end(), part->values.begin(), part->values.end());
    }
    return all;
  });
}

TEST_P(AttentionTest, NamesWhatDoesNotFit) {
  const std::string name = GetParam() == Kernel::kEager ? "attention" : "flash_attention";
  Case<float> c({{7}}, 2, 1, 4);
  c.k.dims = {7, 8};
  ExpectInvalid(c.Forward(GetParam(), context_), name + ": k is (7, 8) f32, expected (7, 4) f32");
  Case<float> heads({{7}}, 3, 1, 4);
  heads.shape.kv_head_count = 2;
  ExpectInvalid(heads.Forward(GetParam(), context_), "head_count(3)");
  Case<float> rows({{7}}, 2, 1, 4);
  rows.shape.context = 5;
  ExpectInvalid(rows.Forward(GetParam(), context_), "context(5)");
  Case<float> starts({{7}}, 2, 1, 4);
  starts.document_starts[3] = 4;
  ExpectInvalid(starts.Forward(GetParam(), context_), "document_starts[3] is 4");
  Case<float> scratch({{7}}, 2, 1, 4, 0);
  ExpectInvalid(scratch.Backward(GetParam(), context_),
                name + "_backward: workspace has 0 elements");
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest, ::testing::Values(Kernel::kEager, Kernel::kFlash),
                         [](const auto& tested) {
                           return tested.param == Kernel::kEager ? "Eager" : "Flash";
                         });

// The published slopes of 8 heads; those of 6 are the 4 of 4 heads, then every other one of 8.
TEST(Attention, AlibiSlopes) {
  for (int64_t h = 0; h < 8; ++h) EXPECT_EQ(AlibiSlope(h, 8, 8), std::exp2(-(h + 1)));
  const double six[] = {0.25, 0.0625, 1.0 / 64, 1.0 / 256, 0.5, 0.125};
  for (int64_t h = 0; h < 6; ++h) EXPECT_EQ(AlibiSlope(h, 6, 8), six[h]);
  EXPECT_EQ(AlibiSlope(0, 4, 0), 0);
}

TEST(Attention, ProbabilitiesAreZeroWhereMasked) {
  CpuContext context;
  Case<double> c({{3, 2}}, 1, 1, 2);
  EXPECT_OK(c.Forward(Kernel::kEager, context));
  for (int64_t i = 0; i < 5; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < 5; ++j) {
      const double p = c.probabilities[i * 5 + j];
      const bool visible = j >= c.document_starts[i] && j <= i;
      EXPECT_EQ(p > 0, visible) << i << " " << j;
      sum += p;
    }
    EXPECT_NEAR(sum, 1, 1e-14);
  }
}

template <typename T>
void ExpectFlashEqualsEager(double tolerance, int64_t D = 16, int64_t window = 0) {
  CpuContext context;
  const std::vector<Documents> rows = {{5, 131, 12, 140, 33}, {321}};
  Case<T> eager(rows, 6, 2, D, 3, window), flash(rows, 6, 2, D, 3, window);
  for (auto [c, kernel] : {std::pair{&eager, Kernel::kEager}, {&flash, Kernel::kFlash}}) {
    EXPECT_OK(c->Forward(kernel, context));
    EXPECT_OK(c->Backward(kernel, context));
  }
  ExpectClose(flash.o, eager.o, tolerance, "o");
  ExpectClose(flash.dq, eager.dq, tolerance, "dq");
  ExpectClose(flash.dk, eager.dk, tolerance, "dk");
  ExpectClose(flash.dv, eager.dv, tolerance, "dv");
}

template <typename T>
void ExpectHeadsSideBySideAreTheSame() {
  CpuContext context;
  Case<T> c({{5, 131, 12}, {148}}, 6, 2, 5, 3, 90);
  const int64_t queries = 6 * 5, keys = 2 * 5;
  EXPECT_OK(c.Forward(Kernel::kFlash, context));
  EXPECT_OK(c.Backward(Kernel::kFlash, context));
  auto x = SideBySide<T>({&c.q, &c.k, &c.v});
  HostTensor<T> o(c.o.dims), log_sum_exp(c.log_sum_exp.dims), dx(x.dims, NAN);
  FlashAttentionArgs forward = {.q = ColumnsOf(x, 0, queries),
                                .k = ColumnsOf(x, queries, keys),
                                .v = ColumnsOf(x, queries + keys, keys),
                                .document_starts = c.document_starts,
                                .o = o,
                                .log_sum_exp = log_sum_exp,
                                .workspace = c.flash_workspace,
                                .shape = c.shape};
  EXPECT_OK(FlashAttention(context, forward));
  EXPECT_EQ(o.values, c.o.values);
  FlashAttentionBackwardArgs backward = {.d_o = c.d_o,
                                         .q = forward.q,
                                         .k = forward.k,
                                         .v = forward.v,
                                         .o = o,
                                         .log_sum_exp = log_sum_exp,
                                         .document_starts = c.document_starts,
                                         .dq = ColumnsOf(dx, 0, queries),
                                         .dk = ColumnsOf(dx, queries, keys),
                                         .dv = ColumnsOf(dx, queries + keys, keys),
                                         .workspace = c.flash_workspace,
                                         .shape = c.shape};
  EXPECT_OK(FlashAttentionBackward(context, backward));
  EXPECT_EQ(dx.values, SideBySide<T>({&c.dq, &c.dk, &c.dv}).values);
  backward.dk = c.dk;
  ExpectInvalid(FlashAttentionBackward(context, backward), "lie differently apart");
}

TEST(FlashAttention, TakesHeadsSideBySide) {
  ExpectHeadsSideBySideAreTheSame<float>();
  ExpectHeadsSideBySideAreTheSame<double>();
}

TEST(FlashAttention, EqualsEagerInF64) { ExpectFlashEqualsEager<double>(1e-10); }
TEST(FlashAttention, EqualsEagerInF32) { ExpectFlashEqualsEager<float>(1e-5); }
TEST(FlashAttention, EqualsEagerWithinAWindow) {
  for (int64_t window : {1, 17, 64, 150}) {
    // Heads of whole vectors, and of some more.
    for (int64_t D : {64, 40}) ExpectFlashEqualsEager<float>(1e-5, D, window);
  }
}

HostTensor<uint16_t> Rounded(const HostTensor<float>& x) {
  HostTensor<uint16_t> narrow(x.dims);
  for (int64_t i = 0; i < x.size(); ++i) narrow[i] = Bf16FromFloat(x[i]);
  return narrow;
}

HostTensor<float> Widened(const HostTensor<uint16_t>& x) {
  HostTensor<float> wide(x.dims);
  for (int64_t i = 0; i < x.size(); ++i) wide[i] = FloatFromBf16(x[i]);
  return wide;
}

// The same inputs stored in f32: results differ by their rounding to bf16 (2^-9), and gradients by that of o as well.
TEST(FlashAttention, ComputesBf16InF32) {
  CpuContext context;
  Case<float> c({{70, 61}, {131}}, 4, 2, 40, 3, 50);
  for (HostTensor<float>* x : {&c.q, &c.k, &c.v, &c.d_o}) *x = Widened(Rounded(*x));
  EXPECT_OK(c.Forward(Kernel::kFlash, context));
  auto q = Rounded(c.q), k = Rounded(c.k), v = Rounded(c.v), d_o = Rounded(c.d_o);
  HostTensor<uint16_t> o(q.dims), dq(q.dims), dk(k.dims), dv(k.dims);
  HostTensor<float> log_sum_exp(c.log_sum_exp.dims);
  HostTensor<float> workspace({planner::FlashAttentionWorkspaceElements(40, 2) +
                               planner::FlashAttentionGradientElements(k.size(), true)});
  EXPECT_OK(FlashAttention(context, {.q = q,
                                     .k = k,
                                     .v = v,
                                     .document_starts = c.document_starts,
                                     .o = o,
                                     .log_sum_exp = log_sum_exp,
                                     .workspace = workspace,
                                     .shape = c.shape}));
  ExpectClose(Widened(o), c.o, 1.0 / 256, "o");
  ExpectClose(log_sum_exp, c.log_sum_exp, 1e-6, "log_sum_exp");
  c.o = Widened(o);
  EXPECT_OK(c.Backward(Kernel::kFlash, context));
  EXPECT_OK(FlashAttentionBackward(context, {.d_o = d_o,
                                             .q = q,
                                             .k = k,
                                             .v = v,
                                             .o = o,
                                             .log_sum_exp = log_sum_exp,
                                             .document_starts = c.document_starts,
                                             .dq = dq,
                                             .dk = dk,
                                             .dv = dv,
                                             .workspace = workspace,
                                             .shape = c.shape}));
  ExpectClose(Widened(dq), c.dq, 1.0 / 256, "dq");
  ExpectClose(Widened(dk), c.dk, 1.0 / 256, "dk");
  ExpectClose(Widened(dv), c.dv, 1.0 / 256, "dv");
}

TEST(FlashAttention, SavesTheLogSumOfExponentials) {
  CpuContext context;
  Case<double> c({{3}}, 1, 1, 1);
  c.q.values = {1, 2, 3};
  c.k.values = {0.5, -1, 2};
  EXPECT_OK(c.Forward(Kernel::kFlash, context));
  EXPECT_NEAR(c.log_sum_exp[0], 0.5, 1e-14);
  EXPECT_NEAR(c.log_sum_exp[2], std::log(std::exp(1.5) + std::exp(-3) + std::exp(6)), 1e-14);
}

}  // namespace
}  // namespace tunesmith::trainer
