#include "trainer/ops/packed_gemm.h"

#include "tests/trainer/ops/product_check.h"

namespace tunesmith::trainer::cpu {
namespace {

void ExpectPackedProduct(const ProductCase& c) {
  ExpectProduct<float>(
      c, [&](const HostTensor<float>& a, const HostTensor<float>& b, HostTensor<float>& product) {
        CpuContext context;
        RunPackedGemm(*OpContext(context).threads, {.transpose_a = c.transpose_a,
                                                    .transpose_b = c.transpose_b,
                                                    .m = c.shape.m,
                                                    .n = c.shape.n,
                                                    .k = c.shape.k,
                                                    .alpha = c.alpha,
                                                    .a = a.values.data(),
                                                    .a_stride = a.dims[1],
                                                    .b = b.values.data(),
                                                    .b_stride = b.dims[1],
                                                    .beta = c.beta,
                                                    .c = product.values.data(),
                                                    .c_stride = product.dims[1]});
      });
}

TEST(PackedGemm, EqualsTheSum) {
  if (!HasPackedGemm()) GTEST_SKIP() << "this processor has neither AVX-512 nor AVX2";
  ForEachProductCase(ExpectPackedProduct);
}

TEST(PackedGemm, CopiesRowsThatCompeteForTheCache) {
  if (!HasPackedGemm()) GTEST_SKIP() << "this processor has neither AVX-512 nor AVX2";
  ExpectPackedProduct({{70, 40, 1024}, false, true, 1, 0, 0});
  ExpectPackedProduct({{70, 40, 1000}, false, false, 1, 1, 24});
}

TEST(PackedGemm, SameForAnyThreadCount) {
  if (!HasPackedGemm()) GTEST_SKIP() << "this processor has neither AVX-512 nor AVX2";
  ExpectSameForAnyThreadCount<float>([](const OpContext& context) {
    auto a = RandomTensor<float>({150, 400}, 1), b = RandomTensor<float>({210, 400}, 2);
    HostTensor<float> c({150, 210});
    RunPackedGemm(*context.threads, {.transpose_b = true,
                                     .m = 150,
                                     .n = 210,
                                     .k = 400,
                                     .a = a.values.data(),
                                     .a_stride = 400,
                                     .b = b.values.data(),
                                     .b_stride = 400,
                                     .c = c.values.data(),
                                     .c_stride = 210});
    return c.values;
  });
}

}  // namespace
}  // namespace tunesmith::trainer::cpu
