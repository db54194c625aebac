#include "trainer/ops/pair_product.h"

#include "tests/trainer/ops/product_check.h"

namespace tunesmith::trainer::cpu {
namespace {

TEST(PairProduct, EqualsTheSum) {
  if (!HasPairProducts()) GTEST_SKIP() << "this processor has no AVX512_BF16";
  ForEachProductCase([](const ProductCase& c) {
    ExpectProduct<Bf16>(c, [&](const HostTensor<Bf16>& a, const HostTensor<Bf16>& b,
                               HostTensor<float>& product) {
      // What is left over of the scratch is not read.
      HostTensor<float> scratch({PairScratchElements(c.shape.m, c.shape.k) + 1}, NAN);
      RunPairProduct({.transpose_a = c.transpose_a,
                      .transpose_b = c.transpose_b,
                      .m = c.shape.m,
                      .n = c.shape.n,
                      .k = c.shape.k,
                      .alpha = c.alpha,
                      .a = a.values.data(),
                      .a_stride = a.dims[1],
                      .b = b.values.data(),
                      .b_stride = b.dims[1],
                      .accumulate = c.beta != 0,
                      .c = product.values.data(),
                      .c_stride = product.dims[1]},
                     scratch.values.data());
      EXPECT_TRUE(std::isnan(scratch[scratch.size() - 1])) << "more scratch was written than asked";
    });
  });
}

TEST(PairProduct, OneElementThatIsNotANumberSpoilsItsRowAlone) {
  if (!HasPairProducts()) GTEST_SKIP() << "this processor has no AVX512_BF16";
  constexpr int64_t kSize = 40;
  auto a = MatrixWithGap<Bf16>(kSize, kSize, 0, 1), b = MatrixWithGap<Bf16>(kSize, kSize, 0, 2);
  a[7 * kSize + 3] = Bf16(NAN);
  HostTensor<float> product({kSize, kSize}), scratch({PairScratchElements(kSize, kSize)});
  RunPairProduct({.m = kSize,
                  .n = kSize,
                  .k = kSize,
                  .a = a.values.data(),
                  .a_stride = kSize,
                  .b = b.values.data(),
                  .b_stride = kSize,
                  .c = product.values.data(),
                  .c_stride = kSize},
                 scratch.values.data());
  for (int64_t i = 0; i < product.size(); ++i)
    ASSERT_EQ(std::isnan(product[i]), i / kSize == 7) << i;
}

}  // namespace
}  // namespace tunesmith::trainer::cpu
