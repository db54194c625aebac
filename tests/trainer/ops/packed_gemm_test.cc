#include "trainer/ops/packed_gemm.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer::cpu {
namespace {

struct Shape {
  int64_t m, n, k;
};

// Rows of the operands are `gap` elements longer than they need to be, and what lies there is NAN: it must be neither read nor written.
struct Case {
  Shape shape;
  bool transpose_a, transpose_b;
  float alpha, beta;
  int64_t gap;
};

int64_t Stride(int64_t columns, int64_t gap) { return columns + gap; }

HostTensor<float> Matrix(int64_t rows, int64_t columns, int64_t gap, uint32_t seed) {
  const auto random = RandomTensor<float>({rows, columns}, seed);
  HostTensor<float> matrix({rows, Stride(columns, gap)}, NAN);
  for (int64_t i = 0; i < rows; ++i)
    std::copy_n(&random[i * columns], columns, &matrix[i * Stride(columns, gap)]);
  return matrix;
}

void ExpectProduct(const Case& c) {
  const auto [m, n, k] = c.shape;
  HostTensor<float> a = Matrix(c.transpose_a ? k : m, c.transpose_a ? m : k, c.gap, 1);
  HostTensor<float> b = Matrix(c.transpose_b ? n : k, c.transpose_b ? k : n, c.gap, 2);
  HostTensor<float> product = Matrix(m, n, c.gap, 3);
  const HostTensor<float> before = product;
  CpuContext context;
  RunPackedGemm(*OpContext(context).threads, {.transpose_a = c.transpose_a,
                                              .transpose_b = c.transpose_b,
                                              .m = m,
                                              .n = n,
                                              .k = k,
                                              .alpha = c.alpha,
                                              .a = a.values.data(),
                                              .a_stride = a.dims[1],
                                              .b = b.values.data(),
                                              .b_stride = b.dims[1],
                                              .beta = c.beta,
                                              .c = product.values.data(),
                                              .c_stride = product.dims[1]});
  const double tolerance = 1e-6 * std::sqrt(static_cast<double>(k));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < product.dims[1]; ++j) {
      const int64_t at = i * product.dims[1] + j;
      if (j >= n) {
        ASSERT_TRUE(std::isnan(product[at])) << "written beyond row " << i;
        continue;
      }
      double expected = c.beta == 0 ? 0 : double{before[at]};
      for (int64_t l = 0; l < k; ++l) {
        const float x = c.transpose_a ? a[l * a.dims[1] + i] : a[i * a.dims[1] + l];
        const float y = c.transpose_b ? b[j * b.dims[1] + l] : b[l * b.dims[1] + j];
        expected += double{c.alpha} * x * y;
      }
      ASSERT_NEAR(product[at], expected, tolerance * (1 + std::abs(expected)))
          << m << "x" << n << "x" << k << (c.transpose_a ? " A^T" : "")
          << (c.transpose_b ? " B^T" : "") << " gap " << c.gap << " at " << i << ", " << j;
    }
  }
}

TEST(PackedGemm, EqualsTheSum) {
  if (!HasPackedGemm()) GTEST_SKIP() << "this processor has neither AVX-512 nor AVX2";
  // Less than a block, a vector, a strip and a slice, and more; few rows, few columns, little depth.
  const std::vector<Shape> shapes = {{2, 1, 1},    {7, 15, 3},   {9, 17, 300},   {16, 130, 512},
                                     {130, 16, 5}, {77, 45, 31}, {200, 100, 270}};
  for (const Shape& shape : shapes) {
    for (int form = 0; form < 4; ++form) {
      for (int64_t gap : {0, 3}) {
        ExpectProduct({shape, form % 2 == 1, form >= 2, 1, 0, gap});
        ExpectProduct({shape, form % 2 == 1, form >= 2, -0.5f, 1, gap});
      }
    }
  }
}

TEST(PackedGemm, CopiesRowsThatCompeteForTheCache) {
  if (!HasPackedGemm()) GTEST_SKIP() << "this processor has neither AVX-512 nor AVX2";
  ExpectProduct({{70, 40, 1024}, false, true, 1, 0, 0});
  ExpectProduct({{70, 40, 1000}, false, false, 1, 1, 24});
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
