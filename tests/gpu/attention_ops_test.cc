#include <algorithm>
#include <vector>

#include "planner/program/workspace.h"
#include "tests/gpu/twins.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/decode.h"
#include "trainer/ops/flash_attention.h"

namespace tunesmith::trainer {
namespace {

struct AttentionCase {
  int64_t rows, context, heads, kv_heads, head_size;
};
// One token; odd everything; grouped heads; one head per group; a context that the tests' scratch memory takes in pieces.
const std::vector<AttentionCase> kCases = {
    {1, 1, 1, 1, 2}, {2, 37, 3, 1, 10}, {2, 64, 6, 2, 32}, {1, 130, 4, 4, 64}, {1, 300, 4, 2, 8}};

// Documents of random lengths from 1 up, the last one cut by the end of the row.
std::vector<int32_t> DocumentStarts(const AttentionCase& c, const std::vector<int32_t>& lengths) {
  std::vector<int32_t> starts;
  size_t next = 0;
  for (int64_t row = 0; row < c.rows; ++row) {
    int64_t t = 0;
    while (t < c.context) {
      const int64_t end = std::min(c.context, t + lengths[next++ % lengths.size()]);
      starts.insert(starts.end(), static_cast<size_t>(end - t), static_cast<int32_t>(t));
      t = end;
    }
  }
  return starts;
}

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

  static Shape Queries(const AttentionCase& c) {
    return {c.rows * c.context, c.heads * c.head_size};
  }
  static Shape Keys(const AttentionCase& c) {
    return {c.rows * c.context, c.kv_heads * c.head_size};
  }
  static Shape Probabilities(const AttentionCase& c) {
    return {c.rows * c.heads, c.context, c.context};
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(AttentionTest);

TEST_P(AttentionTest, Forward) {
  for (const AttentionCase& c : kCases) {
    Twin& q = Random("q", Queries(c), T());
    Twin& k = Random("k", Keys(c), T());
    Twin& v = Random("v", Keys(c), T());
    Twin& starts = Starts(c);
    Twin& o = Poisoned("o", Queries(c), T());
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
    Twin& q = Random("q", Queries(c), T());
    Twin& k = Random("k", Keys(c), T());
    Twin& v = Random("v", Keys(c), T());
    Twin& starts = Starts(c);
    Twin& o = Poisoned("o", Queries(c), T());
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
    Twin& d_o = Random("d_o", Queries(c), T());
    Twin& dq = Poisoned("dq", Queries(c), T());
    Twin& dk = Poisoned("dk", Keys(c), T());
    Twin& dv = Poisoned("dv", Keys(c), T());
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

TEST_P(AttentionTest, Flash) {
  for (const AttentionCase& c : kCases) {
    Twin& q = Random("q", Queries(c), T());
    Twin& k = Random("k", Keys(c), T());
    Twin& v = Random("v", Keys(c), T());
    Twin& starts = Starts(c);
    Twin& o = Poisoned("o", Queries(c), T());
    Twin& log_sum_exp = Poisoned("log_sum_exp", {c.rows * c.heads, c.context}, DType::kF32);
    Twin& workspace =
        Poisoned("workspace", {planner::FlashAttentionWorkspaceElements(c.head_size, 2)}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return FlashAttention(context, {.q = pick(q),
                                      .k = pick(k),
                                      .v = pick(v),
                                      .document_starts = pick(starts),
                                      .o = pick(o),
                                      .log_sum_exp = pick(log_sum_exp),
                                      .workspace = pick(workspace),
                                      .shape = ShapeOf(c)});
    });
    const auto terms = static_cast<double>(2 * c.context + c.head_size);
    ExpectClose(o, Tolerance(T(), 0, terms));
    ExpectClose(log_sum_exp, Tolerance(DType::kF32, 0, terms));
    Twin& d_o = Random("d_o", Queries(c), T());
    Twin& dq = Poisoned("dq", Queries(c), T());
    Twin& dk = Poisoned("dk", Keys(c), T());
    Twin& dv = Poisoned("dv", Keys(c), T());
    RunBoth([&](const OpContext& context, auto pick) {
      return FlashAttentionBackward(context, {.d_o = pick(d_o),
                                              .q = pick(q),
                                              .k = pick(k),
                                              .v = pick(v),
                                              .o = pick(o),
                                              .log_sum_exp = pick(log_sum_exp),
                                              .document_starts = pick(starts),
                                              .dq = pick(dq),
                                              .dk = pick(dk),
                                              .dv = pick(dv),
                                              .workspace = pick(workspace),
                                              .shape = ShapeOf(c)});
    });
    ExpectClose(dv, Tolerance(T(), 0, terms));
    if (c.context == 1) continue;  // dq and dk are zero but for roundings
    // In bf16 the device's o is rounded, which moves the deltas.
    ExpectClose(dq, Tolerance(T(), 1, terms));
    ExpectClose(dk, Tolerance(T(), 1, terms));
  }
}

class DecodeTest : public AttentionTest {};
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
  for (const AttentionCase& c : kCases) {
    Twin& q = Random("q", {1, c.heads * c.head_size}, T());
    Twin& k = Random("k_cache", {c.context, c.kv_heads * c.head_size}, T());
    Twin& v = Random("v_cache", {c.context, c.kv_heads * c.head_size}, T());
    Twin& positions = Integers("positions", {1}, {static_cast<int32_t>(c.context * 3 / 4)});
    Twin& o = Poisoned("o", {1, c.heads * c.head_size}, T());
    Twin& scores = Poisoned("scores", {c.heads, c.context}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return DecodeAttention(context, {.q = pick(q),
                                       .k_cache = pick(k),
                                       .v_cache = pick(v),
                                       .positions = pick(positions),
                                       .o = pick(o),
                                       .scores = pick(scores),
                                       .shape = ShapeOf(c)});
    });
    ExpectClose(o, Tolerance(T(), 0, static_cast<double>(c.context + c.head_size)));
  }
}

// Few values, so that the maximum is there more than once.
TEST_P(DecodeTest, ArgMaxTakesTheFirstOfEquals) {
  for (const int64_t vocab : {1, 33, 5003}) {
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
