#include "trainer/ops/decode.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

// Token by token over a cache gives what attention over the whole row gives.
template <typename T>
void TestDecodeEqualsAttention(double tolerance, int64_t window = 0) {
  CpuContext context;
  const AttentionShape shape = {.context = 11,
                                .head_count = 4,
                                .kv_head_count = 2,
                                .head_size = 5,
                                .scale = 0.4,
                                .window = window};
  auto q = RandomTensor<T>({11, 20}, 1), k = RandomTensor<T>({11, 10}, 2),
       v = RandomTensor<T>({11, 10}, 3);
  HostTensor<T> o({11, 20}), probabilities({4, 11, 11});
  auto document_starts = IntTensor(std::vector<int32_t>(11, 0));
  EXPECT_OK(Attention(context, {.q = q,
                                .k = k,
                                .v = v,
                                .document_starts = document_starts,
                                .o = o,
                                .probabilities = probabilities,
                                .shape = shape}));

  HostTensor<T> k_cache({11, 10}, NAN), v_cache({11, 10}, NAN), scores({4, 11}, NAN),
      decoded({11, 20});
  const auto row = [](HostTensor<T>& x, int64_t i) {
    Tensor view = x;
    view.data = x.values.data() + i * x.dims[1];
    view.dims[0] = 1;
    return view;
  };
  for (int32_t i = 0; i < 11; ++i) {
    auto position = IntTensor({i});
    EXPECT_OK(CacheAppend(context, {.x = row(k, i), .positions = position, .cache = k_cache}));
    EXPECT_OK(CacheAppend(context, {.x = row(v, i), .positions = position, .cache = v_cache}));
    EXPECT_OK(DecodeAttention(context, {.q = row(q, i),
                                        .k_cache = k_cache,
                                        .v_cache = v_cache,
                                        .positions = position,
                                        .o = row(decoded, i),
                                        .scores = scores,
                                        .shape = shape}));
  }
  ExpectClose(decoded, o, tolerance);
}

TEST(Decode, EqualsAttention) {
  TestDecodeEqualsAttention<float>(1e-5);
  TestDecodeEqualsAttention<double>(1e-13);
  TestDecodeEqualsAttention<double>(1e-13, 4);
}

TEST(Decode, ArgMaxTakesTheFirstOfEquals) {
  CpuContext context;
  HostTensor<float> logits({2, 70});
  logits[13] = logits[60] = 3;
  logits[70 + 69] = 1e-30f;
  HostTensor<int32_t> token({2});
  EXPECT_OK(ArgMax(context, {.logits = logits, .token = token}));
  EXPECT_EQ(token.values, (std::vector<int32_t>{13, 69}));
}

TEST(Decode, NamesWhatDoesNotFit) {
  CpuContext context;
  HostTensor<float> x({1, 4}), cache({3, 4});
  auto position = IntTensor({3});
  ExpectInvalid(CacheAppend(context, {.x = x, .positions = position, .cache = cache}),
                "cache_append: positions[0] is 3, the cache has 3 rows");
  ExpectInvalid(CacheAppend(context, {.x = cache, .positions = position, .cache = cache}),
                "cache_append: x");
  HostTensor<float> scores({2, 3});
  const AttentionShape shape = {.context = 3, .head_count = 2, .kv_head_count = 2, .head_size = 2};
  ExpectInvalid(DecodeAttention(context, {.q = x,
                                          .k_cache = cache,
                                          .v_cache = cache,
                                          .positions = position,
                                          .o = x,
                                          .scores = scores,
                                          .shape = shape}),
                "decode_attention: positions[0] is 3");
  ExpectInvalid(DecodeAttention(context, {.q = x,
                                          .k_cache = cache,
                                          .v_cache = cache,
                                          .positions = position,
                                          .o = x,
                                          .scores = cache,
                                          .shape = shape}),
                "decode_attention: scores");
  HostTensor<int32_t> token({1});
  ExpectInvalid(ArgMax(context, {.logits = cache, .token = token}), "arg_max: token");
}

}  // namespace
}  // namespace tunesmith::trainer
