#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "trainer/ops/storage.h"

// Arithmetic on rows for the CPU kernels. The inline functions are written so that the compiler
// turns loops over them into vector code; the row functions are compiled for several instruction
// sets and bound to the best at start.
//
// Sums over a row are taken in as many lanes as the vectors have, so they may differ in the last
// bits between machines, never between runs or thread counts on one machine.

// Compiles a function for AVX-512, for AVX2 and for any x86-64. ThreadSanitizer cannot run the
// resolvers this needs, and other architectures have no such levels.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define TUNESMITH_VECTOR_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TUNESMITH_VECTOR_CLONES
#endif

namespace tunesmith::trainer::cpu {

// e^x with a relative error below 2e-7 where the result is normal; 0 below -104, infinity
// above 88.73, NaN for NaN. x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of
// degree 7 (remainder < 6e-9); 2^n in two factors, so that neither overflows before the product
// does.
inline float Exp(float x) {
  constexpr float kRounder =
      12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  constexpr float kLn2High = 0.693359375f;  // 9 bits, so that its product with n is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  float bounded = x < -104.0f ? -104.0f : x;
  bounded = bounded > 89.0f ? 89.0f : bounded;
  const float shifted = bounded * 1.44269504089f + kRounder;
  const int32_t n = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounder);
  const float n_float = shifted - kRounder;
  const float r = (bounded - n_float * kLn2High) - n_float * kLn2Low;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t half = n >> 1;
  const float factor1 = std::bit_cast<float>((half + 127) << 23);
  const float factor2 = std::bit_cast<float>((n - half + 127) << 23);
  return p * factor1 * factor2;
}
inline double Exp(double x) { return std::exp(x); }

// 2^x for x <= 127 with a relative error below 3e-7; 0 below -125. The Taylor polynomial of degree 6
// of 2^r, |r| <= 1/2 (remainder < 1.3e-7), and the integer part added to the exponent.
inline float Exp2(float x) {
  constexpr float kRounder = 12582912.0f;  // as in Exp
  const float bounded = x < -125.0f ? -125.0f : x;
  const float shifted = bounded + kRounder;
  const float r = bounded - (shifted - kRounder);
  const int32_t n = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounder);
  float p = 1.54035304e-4f;  // (ln 2)^k / k!, k from 6
  p = p * r + 1.33335581e-3f;
  p = p * r + 9.61812911e-3f;
  p = p * r + 5.55041087e-2f;
  p = p * r + 2.40226507e-1f;
  p = p * r + 6.93147181e-1f;
  p = p * r + 1.0f;
  const float result = std::bit_cast<float>(std::bit_cast<int32_t>(p) + (n << 23));
  return x < -125.0f ? 0.0f : result;
}
inline double Exp2(double x) { return std::exp2(x); }

// With an absolute error below 2e-7, and near zero a relative one: a polynomial below 0.625 (coefficients of the Cephes library's tanhf), else by
// the exponential.
inline float Tanh(float x) {
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  const float far = 1.0f - 2.0f / (Exp(2.0f * x) + 1.0f);
  return z < 0.390625f ? near : far;
}
inline double Tanh(double x) { return std::tanh(x); }

// The error function with an absolute error below 5e-7 (Abramowitz and Stegun 7.1.26, whose own is 1.5e-7).
inline float Erf(float x) {
  const float a = x < 0.0f ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float e = 1.0f - p * t * Exp(-a * a);
  return x < 0.0f ? -e : e;
}
inline double Erf(double x) { return std::erf(x); }

template <typename T>
inline T Sigmoid(T x) {
  return T{1} / (T{1} + Exp(-x));
}

// The functions below exist for rows stored as f32, f64 and bf16; bf16 rows are computed with in f32.

// The largest element; -infinity for an empty row.
float RowMax(const float* x, int64_t count);
double RowMax(const double* x, int64_t count);
float RowMax(const Bf16* x, int64_t count);

// Sum of e^(x - offset).
float RowSumExp(const float* x, int64_t count, float offset);
double RowSumExp(const double* x, int64_t count, double offset);
float RowSumExp(const Bf16* x, int64_t count, float offset);

// y = e^(x - offset); returns the sum of y. y may be x.
float RowExp(const float* x, int64_t count, float offset, float* y);
double RowExp(const double* x, int64_t count, double offset, double* y);

// y = factor * e^(x - offset), rounded once. y may be x.
void RowScaledExp(const Bf16* x, int64_t count, float offset, float factor, Bf16* y);

// y *= factor.
void RowScale(float* y, int64_t count, float factor);
void RowScale(double* y, int64_t count, double factor);

// y += factor * x.
void RowAddScaled(const float* x, int64_t count, float factor, float* y);
void RowAddScaled(const double* x, int64_t count, double factor, double* y);
void RowAddScaled(const Bf16* x, int64_t count, float factor, float* y);
void RowAddScaled(const Bf16* x, int64_t count, float factor, Bf16* y);

// Sum of a * b.
float RowDot(const float* a, const float* b, int64_t count);
double RowDot(const double* a, const double* b, int64_t count);
float RowDot(const Bf16* a, const Bf16* b, int64_t count);

// Sum of x^2 in f64.
double RowSumSquares(const float* x, int64_t count);
double RowSumSquares(const double* x, int64_t count);
double RowSumSquares(const Bf16* x, int64_t count);

// cosine and sine of each angle. The f32 form reduces and evaluates in f64 (absolute error below
// 1e-7 for |angle| < 1e6).
void RowCosSin(const float* angle, int64_t count, float* cosine, float* sine);
void RowCosSin(const double* angle, int64_t count, double* cosine, double* sine);

}  // namespace tunesmith::trainer::cpu
