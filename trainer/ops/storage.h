#pragma once

#include <cstdint>

#include "common/dtype.h"

// The types in which the CPU's kernels store elements, and those in which they compute. A kernel is
// one template over its storage type S: it reads `Arithmetic<S>(x[i])` and writes `S(value)`, which
// are the elements themselves for f32 and f64, and for bf16 a shift and a rounding to nearest even
// that vectorize with the loop around them.
namespace tunesmith::trainer::cpu {

struct Bf16 {
  uint16_t bits = 0;

  Bf16() = default;
  explicit constexpr Bf16(float value) : bits(Bf16FromFloat(value)) {}
  explicit constexpr operator float() const { return FloatFromBf16(bits); }
};

template <typename S>
struct ArithmeticOf {
  using Type = S;
};
template <>
struct ArithmeticOf<Bf16> {
  using Type = float;
};
template <typename S>
using Arithmetic = typename ArithmeticOf<S>::Type;

}  // namespace tunesmith::trainer::cpu
