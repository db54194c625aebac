#pragma once

#include <cuda_runtime.h>

#include "common/dtype.h"

struct __half {
  uint16_t bits;

  __half() = default;
  explicit __half(float value) : bits(tunesmith::F16FromFloat(value)) {}
  explicit operator float() const { return tunesmith::FloatFromF16(bits); }
};
