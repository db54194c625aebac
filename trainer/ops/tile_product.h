#pragma once

#include <cstdint>

// Products of matrices that lie in the cache, on the calling thread: what attention does to its tiles. A library's product packs its operands
// first, which for 64 x 64 x 64 costs about what the arithmetic costs (OpenBLAS 0.3.21 reaches 60 of 170 GFLOP/s of a core there); here operands
// are read where they are.
namespace tunesmith::trainer::cpu {

// The columns of a product come in whole steps; callers pad their tiles.
inline constexpr int64_t kTileColumnStep = 32;

// C (m, n) = A (m, k) B (k, n), or C + A B. Element (i, l) of A is a[i * a_row_stride + l * a_column_stride], so A may be transposed; B and C are
// row-major. Sums run over increasing l. REQUIRES: n % kTileColumnStep == 0.
template <typename T>
struct TileProduct {
  int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  int64_t a_row_stride = 0;
  int64_t a_column_stride = 1;
  const T* b = nullptr;
  int64_t b_stride = 0;
  T* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
};

// Thread-safe.
void RunTileProduct(const TileProduct<float>& product);
void RunTileProduct(const TileProduct<double>& product);

}  // namespace tunesmith::trainer::cpu
