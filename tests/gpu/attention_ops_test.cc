#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "planner/program/workspace.h"
#include "tests/gpu/attention_cases.h"
#include "tests/gpu/twins.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/decode.h"
#include "trainer/ops/flash_attention.h"

namespace tunesmith::trainer {
namespace {

// One token; odd everything; grouped heads; one head per group; a context that the tests' scratch memory takes in pieces.
const std::vector<AttentionCase> kCases = {
    {1, 1, 1, 1, 2}, {2, 37, 3, 1, 10}, {2, 64, 6, 2, 32}, {1, 130, 4, 4, 64}, {1, 300, 4, 2, 8}};

class AttentionTest : public TwinTest {
 protected:
  Twin& Starts(const AttentionCase& c) {
    const auto limit = static_cast<int32_t>(std::max<int64_t>(1, c.context * 2 / 3));
    return Integers("document_starts", {c.rows * c.context},
                    DocumentStarts(c, RandomIntegers(16, 1, limit)));
  }

  static AttentionShape ShapeOf(const AttentionCase& c) {
    return {.context = c.context,
            .head_count = c.heads,
            .kv_head_count = c.kv_heads,
            .head_size = c.head_size,
            .scale = 0.3};
  }

  static Shape Probabilities(const AttentionCase& c) {
    return {c.rows * c.heads, c.context, c.context};
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(AttentionTest);

TEST_P(AttentionTest, Forward) {
  for (const AttentionCase& c : kCases) {
    Twin& q = Random("q", QueriesOf(c), T());
    Twin& k = Random("k", KeysOf(c), T());
    Twin& v = Random("v", KeysOf(c), T());
    Twin& starts = Starts(c);
    Twin& o = Poisoned("o", QueriesOf(c), T());
    Twin& probabilities = Poisoned("probabilities", Probabilities(c), T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Attention(context, {.q = pick(q),
                                 .k = pick(k),
                                 .v = pick(v),
                                 .document_starts = pick(starts),
                                 .o = pick(o),
                                 .probabilities = pick(probabilities),
                                 .shape = ShapeOf(c)});
    });
    const auto terms = static_cast<double>(c.context + c.head_size);
    ExpectClose(probabilities, Tolerance(T(), 0, terms));
    ExpectClose(o, Tolerance(T(), 1, terms));
  }
}

TEST_P(AttentionTest, Backward) {
  for (const AttentionCase& c : kCases) {
    Twin& q = Random("q", QueriesOf(c), T());
    Twin& k = Random("k", KeysOf(c), T());
    Twin& v = Random("v", KeysOf(c), T());
    Twin& starts = Starts(c);
    Twin& o = Poisoned("o", QueriesOf(c), T());
    Twin& probabilities = Poisoned("probabilities", Probabilities(c), T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Attention(context, {.q = pick(q),
                                 .k = pick(k),
                                 .v = pick(v),
                                 .document_starts = pick(starts),
                                 .o = pick(o),
                                 .probabilities = pick(probabilities),
                                 .shape = ShapeOf(c)});
    });
    Twin& d_o = Random("d_o", QueriesOf(c), T());
    Twin& dq = Poisoned("dq", QueriesOf(c), T());
    Twin& dk = Poisoned("dk", KeysOf(c), T());
    Twin& dv = Poisoned("dv", KeysOf(c), T());
    Twin& workspace =
        Poisoned("workspace", {planner::AttentionBackwardWorkspaceElements(c.context, 2)}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return AttentionBackward(context, {.d_o = pick(d_o),
                                         .q = pick(q),
                                         .k = pick(k),
                                         .v = pick(v),
                                         .probabilities = pick(probabilities),
                                         .document_starts = pick(starts),
                                         .dq = pick(dq),
                                         .dk = pick(dk),
                                         .dv = pick(dv),
                                         .workspace = pick(workspace),
                                         .shape = ShapeOf(c)});
    });
    // In bf16 the device's probabilities are rounded, and so are the gradients of the scores; dP minus its mean cancels in part.
    const auto terms = static_cast<double>(2 * c.context + c.head_size);
    ExpectClose(dv, Tolerance(T(), 1, terms));
    if (c.context == 1) continue;  // dq and dk are zero but for roundings
    ExpectClose(dq, Tolerance(T(), 3, terms));
    ExpectClose(dk, Tolerance(T(), 3, terms));
  }
}

// What a flash test's shape has beside its sizes.
struct FlashCase {
  AttentionCase sizes;
  int32_t longest_document = 0;  // documents of 1 to so many tokens; 0: one for a row
  int64_t window = 0;
  double soft_cap = 0.0;
  double alibi_bias_max = 0.0;
};

class FlashTest : public AttentionTest {
 protected:
  void Check(FlashCase c) {
    // The plain kernels have no tiles whose edges matter, and the emulation takes long over them.
    if (T() == DType::kF32) c.sizes.context = std::min<int64_t>(c.sizes.context, 40);
    AttentionShape shape = ShapeOf(c.sizes);
    shape.scale = 1.0 / std::sqrt(static_cast<double>(c.sizes.head_size));
    shape.window = c.window;
    shape.soft_cap = c.soft_cap;
    shape.alibi_bias_max = c.alibi_bias_max;
    const auto context = static_cast<int32_t>(c.sizes.context);
    Twin& starts = Integers(
        "document_starts", {c.sizes.rows * c.sizes.context},
        DocumentStarts(c.sizes, c.longest_document > 0 ? RandomIntegers(64, 1, c.longest_document)
                                                       : std::vector<int32_t>{context}));
    CheckBoth(c.sizes, shape, starts);
  }

  // `slack`: on the tolerances; a score's rounding is one of its probability times the score.
  void CheckBoth(const AttentionCase& c, const AttentionShape& shape, Twin& starts,
                 double slack = 1, bool side_by_side = false) {
    const HeadTwins x = MakeHeads(c, side_by_side, [&](const char* name, Shape s) -> Twin& {
      return Random(name, s, T(), name[0] == 'q' && !side_by_side ? 2.0 : 1.0);
    });
    Twin& o = Poisoned("o", QueriesOf(c), T());
    Twin& log_sum_exp = Poisoned("log_sum_exp", {c.rows * c.heads, c.context}, DType::kF32);
    Twin& workspace =
        Poisoned("workspace", {planner::FlashAttentionWorkspaceElements(c.head_size, 2)}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return FlashAttention(context, {.q = x.Q(pick),
                                      .k = x.K(pick),
                                      .v = x.V(pick),
                                      .document_starts = pick(starts),
                                      .o = pick(o),
                                      .log_sum_exp = pick(log_sum_exp),
                                      .workspace = pick(workspace),
                                      .shape = shape});
    });
    // In bf16 the device's probabilities are rounded, and so are the gradients of the scores; o is too, which moves the deltas, of which
    // gradients of probabilities cancel a part.
    const auto terms = static_cast<double>(2 * c.context + c.head_size);
    ExpectClose(o, slack * Tolerance(T(), 1, terms));
    ExpectClose(log_sum_exp, Tolerance(DType::kF32, 0, terms));
    Twin& d_o = Random("d_o", QueriesOf(c), T());
    const HeadTwins dx = MakeHeads(c, side_by_side, [&](const char* name, Shape s) -> Twin& {
      return Poisoned(std::string("d") + name, s, T());
    });
    RunBoth([&](const OpContext& context, auto pick) {
      return FlashAttentionBackward(context, {.d_o = pick(d_o),
                                              .q = x.Q(pick),
                                              .k = x.K(pick),
                                              .v = x.V(pick),
                                              .o = pick(o),
                                              .log_sum_exp = pick(log_sum_exp),
                                              .document_starts = pick(starts),
                                              .dq = dx.Q(pick),
                                              .dk = dx.K(pick),
                                              .dv = dx.V(pick),
                                              .workspace = pick(workspace),
                                              .shape = shape});
    });
    if (side_by_side) return ExpectClose(*dx.q, slack * Tolerance(T(), 3, terms));
    ExpectClose(*dx.v, Tolerance(T(), 1, terms));
    if (c.context == 1) return;  // dq and dk are zero but for roundings
    ExpectClose(*dx.q, slack * Tolerance(T(), 3, terms));
    ExpectClose(*dx.k, slack * Tolerance(T(), 3, terms));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(FlashTest);

// Sizes that the matrix units do not take, among others.
TEST_P(FlashTest, OddSizes) {
  for (const AttentionCase& c : kCases) CheckBoth(c, ShapeOf(c), Starts(c));
}

// As one product forms them: sizes that the matrix units take, and others.
TEST_P(FlashTest, HeadsOfQueriesKeysAndValuesSideBySide) {
  for (const AttentionCase& c : {AttentionCase{2, 37, 3, 1, 10}, AttentionCase{2, 80, 4, 2, 64},
                                 AttentionCase{1, 70, 2, 2, 128}})
    CheckBoth(c, ShapeOf(c), Starts(c), /*slack=*/1, /*side_by_side=*/true);
}

// One document: all that causality leaves is seen. Contexts of less than a tile, of whole tiles, and of a part of one.
TEST_P(FlashTest, HeadSizes) {
  for (const AttentionCase& c : {AttentionCase{1, 16, 1, 1, 64}, AttentionCase{2, 192, 2, 1, 64},
                                 AttentionCase{1, 150, 2, 1, 72}, AttentionCase{1, 129, 2, 2, 80},
                                 AttentionCase{1, 70, 2, 1, 96}, AttentionCase{1, 193, 3, 1, 128},
                                 AttentionCase{1, 67, 2, 1, 192}, AttentionCase{1, 128, 2, 1, 256}})
    Check({.sizes = c});
}

TEST_P(FlashTest, Groups) {
  Check({.sizes = {2, 80, 8, 2, 64}, .longest_document = 60});
  Check({.sizes = {1, 40, 7, 1, 128}});
}

TEST_P(FlashTest, Documents) {
  Check({.sizes = {2, 200, 2, 1, 64}, .longest_document = 5});
  Check({.sizes = {1, 260, 2, 1, 128}, .longest_document = 130});
}

TEST_P(FlashTest, Windows) {
  Check({.sizes = {1, 200, 2, 1, 64}, .window = 2});
  Check({.sizes = {1, 200, 2, 1, 64}, .window = 65});
  Check({.sizes = {1, 260, 1, 1, 128}, .longest_document = 200, .window = 32});
  Check({.sizes = {1, 90, 1, 1, 256}, .window = 40});
}

TEST_P(FlashTest, ChangedScores) {
  Check({.sizes = {1, 140, 2, 1, 64}, .soft_cap = 1.5});
  Check({.sizes = {1, 140, 3, 1, 64}, .longest_document = 100, .alibi_bias_max = 8.0});
  Check({.sizes = {1, 100, 2, 1, 128}, .window = 50, .soft_cap = 2.0, .alibi_bias_max = 4.0});
}

// Scores far apart, so that most probabilities are zero and maxima move late.
TEST_P(FlashTest, LargeScores) {
  const AttentionCase c = {1, 130, 1, 1, 64};
  AttentionShape shape = ShapeOf(c);
  shape.scale = 3.0;
  CheckBoth(c, shape, Starts(c), /*slack=*/4);
}

class DecodeTest : public AttentionTest {
 protected:
  void Check(const AttentionCase& c, int64_t position, int64_t window = 0) {
    Twin& q = Random("q", {1, c.heads * c.head_size}, T());
    Twin& k = Random("k_cache", {c.context, c.kv_heads * c.head_size}, T());
    Twin& v = Random("v_cache", {c.context, c.kv_heads * c.head_size}, T());
    Twin& positions = Integers("positions", {1}, {static_cast<int32_t>(position)});
    Twin& o = Poisoned("o", {1, c.heads * c.head_size}, T());
    Twin& scores = Poisoned("scores", {c.heads, c.context}, DType::kF32);
    AttentionShape shape = ShapeOf(c);
    shape.window = window;
    RunBoth([&](const OpContext& context, auto pick) {
      return DecodeAttention(context, {.q = pick(q),
                                       .k_cache = pick(k),
                                       .v_cache = pick(v),
                                       .positions = pick(positions),
                                       .o = pick(o),
                                       .scores = pick(scores),
                                       .shape = shape});
    });
    ExpectClose(o, Tolerance(T(), 0, static_cast<double>(c.context + c.head_size)));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(DecodeTest);

TEST_P(DecodeTest, AppendsOneRowOfTheCache) {
  Twin& x = Random("x", {1, 70}, T());
  Twin& positions = Integers("positions", {1}, {3});
  Twin& cache = Random("cache", {5, 70}, T());
  RunBoth([&](const OpContext& context, auto pick) {
    return CacheAppend(context, {.x = pick(x), .positions = pick(positions), .cache = pick(cache)});
  });
  ExpectEqual(cache);
}

TEST_P(DecodeTest, AttendsToTheRowsSoFar) {
  for (const AttentionCase& c : kCases) Check(c, c.context * 3 / 4);
  for (const int64_t head_size : {64, 80, 512}) {
    const AttentionCase c = {1, 300, 4, 2, head_size};
    for (const int64_t position : {0, 1, 256, 299}) Check(c, position);
    Check(c, 299, 100);
  }
  Misalign(true);
  Check({1, 300, 4, 2, 64}, 299);
}

// Few values, so that the maximum is there more than once.
TEST_P(DecodeTest, ArgMaxTakesTheFirstOfEquals) {
  for (const int64_t vocab : {1, 33, 64, 5003, 49152}) {
    Misalign(vocab == 64);
    std::vector<float> values;
    for (const int32_t value : RandomIntegers(3 * vocab, -2, 2)) {
      values.push_back(static_cast<float>(value));
    }
    Twin& logits = Values("logits", {3, vocab}, T(), values);
    Twin& token = Poisoned("token", {3}, DType::kI32);
    RunBoth([&](const OpContext& context, auto pick) {
      return ArgMax(context, {.logits = pick(logits), .token = pick(token)});
    });
    ExpectEqual(token);
  }
}

}  // namespace
}  // namespace tunesmith::trainer
