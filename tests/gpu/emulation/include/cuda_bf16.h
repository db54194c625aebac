#pragma once

#include <cuda_runtime.h>

#include "common/dtype.h"

// bf16 as the CPU's kernels convert it.
struct __nv_bfloat16 {
  uint16_t bits;

  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) : bits(tunesmith::Bf16FromFloat(value)) {}
  explicit operator float() const { return tunesmith::FloatFromBf16(bits); }
};

inline float __bfloat162float(__nv_bfloat16 value) { return static_cast<float>(value); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return __nv_bfloat16(value); }
inline __nv_bfloat16 __ushort_as_bfloat16(uint16_t bits) {
  __nv_bfloat16 value;
  value.bits = bits;
  return value;
}
