#pragma once

#include "planner/model/model_spec.h"

// The MLPs' functions and their slopes, for the CUDA kernels: see trainer/ops/activation_math.h. The activation is the same for a whole launch, so that
// no warp diverges.
namespace tunesmith::trainer::cuda {

struct ActivationValue {
  float value;
  float slope;
};

// By the approximate exponential and quotient, good to some units in the last place: with the exact ones the kernels wait for arithmetic.
__device__ inline ActivationValue Sigmoidal(float x, float z, float dz) {
  const float s = __fdividef(1.0f, 1.0f + __expf(-z));
  return {x * s, s * (1.0f + x * dz * (1.0f - s))};
}

__device__ inline ActivationValue Activate(planner::Activation activation, float x) {
  switch (activation) {
    case planner::Activation::kSilu:
      return Sigmoidal(x, x, 1.0f);
    case planner::Activation::kGelu: {
      const float distribution = 0.5f * (1.0f + erff(x * 0.70710678f));
      return {x * distribution, distribution + x * 0.39894228f * expf(-0.5f * x * x)};
    }
    case planner::Activation::kGeluTanh: {
      constexpr float kTwice = 1.59576912f;  // 2 sqrt(2 / pi)
      return Sigmoidal(x, kTwice * (x + 0.044715f * x * x * x),
                       kTwice * (1.0f + 0.134145f * x * x));
    }
    case planner::Activation::kQuickGelu:
      return Sigmoidal(x, 1.702f * x, 1.702f);
    case planner::Activation::kRelu:
      return {x > 0.0f ? x : 0.0f, x > 0.0f ? 1.0f : 0.0f};
  }
  return {x, 1.0f};
}

}  // namespace tunesmith::trainer::cuda
