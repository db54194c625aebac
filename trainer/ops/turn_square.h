#pragma once

#include <cstdint>
#include <utility>

#include "trainer/ops/register_block.h"

// Squares of 32-bit elements turned round in registers, for packing a transposed operand. Inlined, as register_block.h says.
namespace tunesmith::trainer::cpu {

// One step of turning kLanes vectors round: lanes whose index has the bit kDistance change places with those of the partner that has not.
template <int kLanes, int kDistance, int... kLane>
TUNESMITH_INLINE void SwapLanes(Vector<float, kLanes>& low, Vector<float, kLanes>& high,
                                std::integer_sequence<int, kLane...>) {
  const Vector<float, kLanes> a = low, b = high;
  low = __builtin_shufflevector(a, b,
                                ((kLane & kDistance) == 0 ? kLane : kLanes + kLane - kDistance)...);
  high = __builtin_shufflevector(
      a, b, ((kLane & kDistance) == 0 ? kLane + kDistance : kLanes + kLane)...);
}

template <int kLanes, int kDistance>
TUNESMITH_INLINE void SwapAll(Vector<float, kLanes>* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kDistance) == 0)
      SwapLanes<kLanes, kDistance>(rows[i], rows[i + kDistance],
                                   std::make_integer_sequence<int, kLanes>());
  }
}

// to[l * to_stride + j] = from[j * from_stride + l], kLanes x kLanes.
template <int kLanes>
TUNESMITH_INLINE void TurnSquare(const float* from, int64_t from_stride, float* to,
                                 int64_t to_stride) {
  using V = Vector<float, kLanes>;
  V rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = *reinterpret_cast<const V*>(from + i * from_stride);
  SwapAll<kLanes, 1>(rows);
  SwapAll<kLanes, 2>(rows);
  SwapAll<kLanes, 4>(rows);
  if constexpr (kLanes > 8) SwapAll<kLanes, 8>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) *reinterpret_cast<V*>(to + i * to_stride) = rows[i];
}

}  // namespace tunesmith::trainer::cpu
