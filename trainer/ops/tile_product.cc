#include "trainer/ops/tile_product.h"

// A block of rows x (two vectors) of C is held in registers while k runs: each element of A is broadcast once, each vector of B loaded once. The
// block's height fills the registers that an instruction set has, and has at least the eight sums in flight that the latency of a fused
// multiply-add asks for.
namespace tunesmith::trainer::cpu {
namespace {

#define TUNESMITH_INLINE [[gnu::always_inline]] inline

template <typename T, int kLanes>
struct VectorOf {
  using Type [[gnu::vector_size(kLanes * sizeof(T)), gnu::aligned(sizeof(T)), gnu::may_alias]] = T;
};
template <typename T, int kLanes>
using Vector = typename VectorOf<T, kLanes>::Type;

template <typename T, int kLanes, int kRows>
TUNESMITH_INLINE void Block(const TileProduct<T>& p, int64_t row, int64_t column) {
  using V = Vector<T, kLanes>;
  V low[kRows] = {}, high[kRows] = {};
  const T* a = p.a + row * p.a_row_stride;
  const T* b = p.b + column;
  T* c = p.c + row * p.c_stride + column;
  if (p.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      low[i] = *reinterpret_cast<const V*>(c + i * p.c_stride);
      high[i] = *reinterpret_cast<const V*>(c + i * p.c_stride + kLanes);
    }
  }
  for (int64_t l = 0; l < p.k; ++l) {
    const V b_low = *reinterpret_cast<const V*>(b);
    const V b_high = *reinterpret_cast<const V*>(b + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T value = a[i * p.a_row_stride];
      low[i] += value * b_low;
      high[i] += value * b_high;
    }
    a += p.a_column_stride;
    b += p.b_stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    *reinterpret_cast<V*>(c + i * p.c_stride) = low[i];
    *reinterpret_cast<V*>(c + i * p.c_stride + kLanes) = high[i];
  }
}

template <typename T, int kLanes, int kRows>
TUNESMITH_INLINE void Multiply(const TileProduct<T>& p) {
  for (int64_t column = 0; column < p.n; column += 2 * kLanes) {
    int64_t row = 0;
    for (; row + kRows <= p.m; row += kRows) Block<T, kLanes, kRows>(p, row, column);
    for (; row + 2 <= p.m; row += 2) Block<T, kLanes, 2>(p, row, column);
    if (row < p.m) Block<T, kLanes, 1>(p, row, column);
  }
}

// 32 vector registers of 64 bytes, 16 of 32 and 16 of 16.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
template <typename T>
[[gnu::target("arch=x86-64-v4")]] void MultiplyV4(const TileProduct<T>& p) {
  Multiply<T, 64 / sizeof(T), 8>(p);
}
template <typename T>
[[gnu::target("arch=x86-64-v3")]] void MultiplyV3(const TileProduct<T>& p) {
  Multiply<T, 32 / sizeof(T), 6>(p);
}
#endif
template <typename T>
void MultiplyAnywhere(const TileProduct<T>& p) {
  Multiply<T, 16 / sizeof(T), 6>(p);
}

template <typename T>
using Function = void (*)(const TileProduct<T>&);

template <typename T>
Function<T> Choose() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return MultiplyV4<T>;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return MultiplyV3<T>;
#endif
  return MultiplyAnywhere<T>;
}

}  // namespace

void RunTileProduct(const TileProduct<float>& product) {
  static const Function<float> function = Choose<float>();
  function(product);
}

void RunTileProduct(const TileProduct<double>& product) {
  static const Function<double> function = Choose<double>();
  function(product);
}

}  // namespace tunesmith::trainer::cpu
