#pragma once

#include <numbers>
#include <type_traits>

#include "absl/status/status.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/vector_math.h"

// The MLPs' functions and their slopes, for the CPU kernels: inline, so that loops over them vectorize.
namespace tunesmith::trainer::cpu {

template <typename T>
struct ActivationValue {
  T value;
  T slope;
};

// x sigmoid(z) with z = z(x) and its slope dz.
template <typename T>
inline ActivationValue<T> Sigmoidal(T x, T z, T dz) {
  const T s = Sigmoid(z);
  return {x * s, s * (T{1} + x * dz * (T{1} - s))};
}

// gelu by tanh (Hendrycks and Gimpel, arXiv 1606.08415): 0.5 x (1 + tanh u) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
template <typename T>
inline ActivationValue<T> GeluTanh(T x) {
  constexpr T kTwice = static_cast<T>(1.5957691216057307117597842397375);  // 2 sqrt(2 / pi)
  constexpr T kCubic = static_cast<T>(0.044715);
  return Sigmoidal(x, kTwice * (x + kCubic * x * x * x), kTwice * (T{1} + T{3} * kCubic * x * x));
}

// x times the normal distribution function.
template <typename T>
inline ActivationValue<T> Gelu(T x) {
  constexpr T kRootHalf = static_cast<T>(1 / std::numbers::sqrt2);
  constexpr T kDensity = static_cast<T>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  const T distribution = static_cast<T>(0.5) * (T{1} + Erf(x * kRootHalf));
  return {x * distribution, distribution + x * kDensity * Exp(static_cast<T>(-0.5) * x * x)};
}

template <planner::Activation kActivation, typename T>
inline ActivationValue<T> Activate(T x) {
  if constexpr (kActivation == planner::Activation::kSilu) return Sigmoidal(x, x, T{1});
  if constexpr (kActivation == planner::Activation::kGelu) return Gelu(x);
  if constexpr (kActivation == planner::Activation::kGeluTanh) return GeluTanh(x);
  if constexpr (kActivation == planner::Activation::kQuickGelu) {
    constexpr T kSlope = static_cast<T>(1.702);
    return Sigmoidal(x, kSlope * x, kSlope);
  }
  if constexpr (kActivation == planner::Activation::kRelu)
    return {x > T{0} ? x : T{0}, x > T{0} ? T{1} : T{0}};
}

// function(std::integral_constant<planner::Activation, ...>), for kernels that are templates over it.
template <typename Function>
absl::Status VisitActivation(planner::Activation activation, Function function) {
  switch (activation) {
    case planner::Activation::kSilu:
      return function(std::integral_constant<planner::Activation, planner::Activation::kSilu>());
    case planner::Activation::kGelu:
      return function(std::integral_constant<planner::Activation, planner::Activation::kGelu>());
    case planner::Activation::kGeluTanh:
      return function(
          std::integral_constant<planner::Activation, planner::Activation::kGeluTanh>());
    case planner::Activation::kQuickGelu:
      return function(
          std::integral_constant<planner::Activation, planner::Activation::kQuickGelu>());
    case planner::Activation::kRelu:
      return function(std::integral_constant<planner::Activation, planner::Activation::kRelu>());
  }
  return absl::InternalError("no such activation");
}

}  // namespace tunesmith::trainer::cpu
