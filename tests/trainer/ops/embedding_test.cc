#include "trainer/ops/embedding.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

TEST(Embedding, CopiesRows) {
  CpuContext context;
  auto tokens = IntTensor({4, 0, 4, 2});
  auto weight = RandomTensor<float>({5, 131}, 1);
  HostTensor<float> y({4, 131});
  EXPECT_OK(Embedding(context, {.tokens = tokens, .weight = weight, .y = y}));
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t c = 0; c < 131; ++c) ASSERT_EQ(y[i * 131 + c], weight[tokens[i] * 131 + c]);
  }
}

TEST(Embedding, Gradients) {
  CpuContext context;
  auto tokens = IntTensor({4, 0, 4, 2});
  auto weight = RandomTensor<double>({5, 3}, 1), dy = RandomTensor<double>({4, 3}, 2);
  HostTensor<double> y({4, 3}), dweight({5, 3}, NAN);
  const auto loss = [&] {
    EXPECT_OK(Embedding(context, {.tokens = tokens, .weight = weight, .y = y}));
    return Weigh(dy, y);
  };
  EXPECT_OK(EmbeddingBackward(context, {.tokens = tokens, .dy = dy, .dweight = dweight}));
  GradientCheck(weight, dweight, loss, "dweight");
  auto twice = dweight;
  for (double& value : twice.values) value *= 2;
  EXPECT_OK(EmbeddingBackward(
      context, {.tokens = tokens, .dy = dy, .dweight = dweight, .accumulate = true}));
  ExpectClose(dweight, twice, 1e-14);
}

TEST(Embedding, SameForAnyThreadCount) {
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    std::vector<int32_t> token(500);
    for (int i = 0; i < 500; ++i) token[i] = i * i % 7;
    auto tokens = IntTensor(token);
    auto dy = RandomTensor<float>({500, 201}, 1);
    HostTensor<float> dweight({7, 201});
    EXPECT_OK(EmbeddingBackward(context, {.tokens = tokens, .dy = dy, .dweight = dweight}));
    return dweight.values;
  });
}

TEST(Embedding, NamesWhatDoesNotFit) {
  CpuContext context;
  auto tokens = IntTensor({0, 5});
  HostTensor<float> weight({5, 3}), y({2, 3}), narrow({2, 2});
  ExpectInvalid(Embedding(context, {.tokens = tokens, .weight = weight, .y = y}),
                "embedding: tokens[1] is 5, the table has 5 rows");
  ExpectInvalid(Embedding(context, {.tokens = tokens, .weight = weight, .y = narrow}),
                "embedding: y is (2, 2)");
  tokens[1] = -1;
  ExpectInvalid(EmbeddingBackward(context, {.tokens = tokens, .dy = y, .dweight = weight}),
                "embedding_backward: tokens[1] is -1");
  ExpectInvalid(EmbeddingBackward(context, {.tokens = tokens, .dy = narrow, .dweight = weight}),
                "embedding_backward: dweight");
}

}  // namespace
}  // namespace tunesmith::trainer
