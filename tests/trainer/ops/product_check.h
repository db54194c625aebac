#pragma once

#include <cmath>

#include "tests/trainer/ops/op_test_util.h"

// A matrix product against the sum that it stands for.
namespace tunesmith::trainer::cpu {

struct ProductShape {
  int64_t m, n, k;
};

// C = alpha * op(A) op(B) + beta * C. Rows of the operands are `gap` elements longer than they need to be, and what lies there is NAN: it must be neither read nor
// written.
struct ProductCase {
  ProductShape shape;
  bool transpose_a, transpose_b;
  float alpha, beta;
  int64_t gap;
};

// Less than a block, a vector, a strip and a slice, and more; few rows, few columns, little depth.
inline const std::vector<ProductShape>& ProductShapes() {
  static const std::vector<ProductShape> shapes = {{2, 1, 1},      {7, 15, 3},   {9, 17, 300},
                                                   {16, 130, 512}, {130, 16, 5}, {77, 45, 31},
                                                   {200, 100, 270}};
  return shapes;
}

// Visits every case of these shapes.
template <typename Visit>
void ForEachProductCase(Visit visit) {
  for (const ProductShape& shape : ProductShapes()) {
    for (int form = 0; form < 4; ++form) {
      for (int64_t gap : {0, 2, 3}) {
        visit(ProductCase{shape, form % 2 == 1, form >= 2, 1, 0, gap});
        visit(ProductCase{shape, form % 2 == 1, form >= 2, -0.5f, 1, gap});
      }
    }
  }
}

template <typename T>
HostTensor<T> MatrixWithGap(int64_t rows, int64_t columns, int64_t gap, uint32_t seed) {
  const auto random = RandomTensor<float>({rows, columns}, seed);
  HostTensor<T> matrix({rows, columns + gap}, T(NAN));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j)
      matrix[i * (columns + gap) + j] = T(random[i * columns + j]);
  }
  return matrix;
}

// `run(a, b, product)` computes the case from operands of type S.
template <typename S, typename Run>
void ExpectProduct(const ProductCase& c, Run run) {
  const auto [m, n, k] = c.shape;
  const HostTensor<S> a = MatrixWithGap<S>(c.transpose_a ? k : m, c.transpose_a ? m : k, c.gap, 1);
  const HostTensor<S> b = MatrixWithGap<S>(c.transpose_b ? n : k, c.transpose_b ? k : n, c.gap, 2);
  HostTensor<float> product = MatrixWithGap<float>(m, n, c.gap, 3);
  const HostTensor<float> before = product;
  run(a, b, product);
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
        const auto x = double(float(c.transpose_a ? a[l * a.dims[1] + i] : a[i * a.dims[1] + l]));
        const auto y = double(float(c.transpose_b ? b[j * b.dims[1] + l] : b[l * b.dims[1] + j]));
        expected += double{c.alpha} * x * y;
      }
      ASSERT_NEAR(product[at], expected, tolerance * (1 + std::abs(expected)))
          << m << "x" << n << "x" << k << (c.transpose_a ? " A^T" : "")
          << (c.transpose_b ? " B^T" : "") << " gap " << c.gap << " at " << i << ", " << j;
    }
  }
}

}  // namespace tunesmith::trainer::cpu
