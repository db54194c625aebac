#pragma once

#include <cstdint>

// The innermost loop of the CPU's own matrix products: a block of C, a few rows of one or two vectors, held in registers while k runs. Each
// element of A is broadcast once, each vector of B loaded once. Inlined into functions that are compiled for an instruction set each: an
// ordinary template would be compiled for one.
namespace tunesmith::trainer::cpu {

#define TUNESMITH_INLINE [[gnu::always_inline]] inline

// Whether functions can be compiled for an instruction set by an attribute, as vector_math.h says.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TUNESMITH_X86_TARGETS 1
#else
#define TUNESMITH_X86_TARGETS 0
#endif

// Unaligned.
template <typename T, int kLanes>
struct VectorOf {
  using Type [[gnu::vector_size(kLanes * sizeof(T)), gnu::aligned(sizeof(T)), gnu::may_alias]] = T;
};
template <typename T, int kLanes>
using Vector = typename VectorOf<T, kLanes>::Type;

// A block's operands. Element (i, l) of A is a[i * a_row_stride + l * a_column_stride]; B and C are row-major.
template <typename T>
struct BlockOperands {
  int64_t k = 0;
  const T* a = nullptr;
  int64_t a_row_stride = 0;
  int64_t a_column_stride = 1;
  const T* b = nullptr;
  int64_t b_stride = 0;
  T* c = nullptr;
  int64_t c_stride = 0;
  T alpha = 1;
  bool accumulate = false;
};

// C (kRows, kVectors * kLanes) = alpha * A B, or C + alpha * A B.
template <typename T, int kLanes, int kRows, int kVectors>
TUNESMITH_INLINE void RegisterBlock(const BlockOperands<T>& p) {
  using V = Vector<T, kLanes>;
  V sums[kRows][kVectors] = {};
  const T* a = p.a;
  const T* b = p.b;
  for (int64_t l = 0; l < p.k; ++l) {
    V row[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) row[j] = *reinterpret_cast<const V*>(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T value = a[i * p.a_row_stride];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] += value * row[j];
    }
    a += p.a_column_stride;
    b += p.b_stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      V* const c = reinterpret_cast<V*>(p.c + i * p.c_stride + j * kLanes);
      *c = p.accumulate ? *c + p.alpha * sums[i][j] : p.alpha * sums[i][j];
    }
  }
}

// The same for any number of rows.
template <typename T, int kLanes, int kRows, int kVectors>
TUNESMITH_INLINE void RegisterColumn(BlockOperands<T> p, int64_t row_count) {
  const auto next = [&p](int64_t rows) {
    p.a += rows * p.a_row_stride;
    p.c += rows * p.c_stride;
  };
  for (; row_count >= kRows; row_count -= kRows, next(kRows))
    RegisterBlock<T, kLanes, kRows, kVectors>(p);
  for (; row_count >= 2; row_count -= 2, next(2)) RegisterBlock<T, kLanes, 2, kVectors>(p);
  if (row_count > 0) RegisterBlock<T, kLanes, 1, kVectors>(p);
}

}  // namespace tunesmith::trainer::cpu
