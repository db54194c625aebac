#pragma once

#include "trainer/ops/op_call.h"

// Elements of small tensors in host memory that are f32, or f64 in double precision programs.
namespace tunesmith::trainer::cpu {

inline double ReadScalar(const Tensor& tensor, int64_t index = 0) {
  return tensor.dtype == DType::kF64 ? tensor.as<double>()[index]
                                     : static_cast<double>(tensor.as<float>()[index]);
}

inline void WriteScalar(const Tensor& tensor, double value) {
  if (tensor.dtype == DType::kF64) {
    *tensor.as<double>() = value;
  } else {
    *tensor.as<float>() = static_cast<float>(value);
  }
}

}  // namespace tunesmith::trainer::cpu
