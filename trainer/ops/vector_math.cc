#include "trainer/ops/vector_math.h"

#include <limits>

namespace tunesmith::trainer::cpu {
namespace {

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES T MaxOf(const S* x, int64_t count) {
  T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = T(x[i]) > largest ? T(x[i]) : largest;
  return largest;
}

template <typename S, typename T>
TUNESMITH_VECTOR_CLONES T SumExpOf(const S* x, int64_t count, T offset) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += Exp(T(x[i]) - offset);
  return sum;
}

template <typename T>
TUNESMITH_VECTOR_CLONES T ExpOf(const T* x, int64_t count, T offset, T* y) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    y[i] = Exp(x[i] - offset);
    sum += y[i];
  }
  return sum;
}

TUNESMITH_VECTOR_CLONES void ScaledExpOf(const Bf16* x, int64_t count, float offset, float factor,
                                         Bf16* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = factor * Exp(float(x[i]) - offset);
}

template <typename T>
TUNESMITH_VECTOR_CLONES void ScaleBy(T* y, int64_t count, T factor) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] *= factor;
}

template <typename S, typename T, typename A>
TUNESMITH_VECTOR_CLONES void AddScaledOf(const S* x, int64_t count, T factor, A* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = T(y[i]) + factor * T(x[i]);
}

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES T DotOf(const S* a, const S* b, int64_t count) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += T(a[i]) * T(b[i]);
  return sum;
}

template <typename S>
TUNESMITH_VECTOR_CLONES double SumSquaresOf(const S* x, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    const double value = static_cast<double>(Arithmetic<S>(x[i]));
    sum += value * value;
  }
  return sum;
}

// angle = q pi/2 + r with |r| <= pi/4; Taylor polynomials of sine and cosine at r; the quadrant q
// swaps them and sets their signs.
TUNESMITH_VECTOR_CLONES void CosSinOf(const float* angle, int64_t count, float* cosine,
                                      float* sine) {
  constexpr double kRounder = 6755399441055744.0;             // 1.5 * 2^52, as in Exp
  constexpr double kHalfPiHigh = 1.57079632673412561417e+00;  // the first 33 bits of pi/2
  constexpr double kHalfPiLow = 6.07710050650619224932e-11;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const double shifted = angle[i] * 0.63661977236758134308 + kRounder;
    const int64_t quadrant = std::bit_cast<int64_t>(shifted);
    const double q = shifted - kRounder;
    const double r = (angle[i] - q * kHalfPiHigh) - q * kHalfPiLow;
    const double r2 = r * r;
    const double s =
        r * (1 + r2 * (-1.0 / 6 + r2 * (1.0 / 120 + r2 * (-1.0 / 5040 + r2 * (1.0 / 362880)))));
    const double c =
        1 + r2 * (-0.5 + r2 * (1.0 / 24 + r2 * (-1.0 / 720 + r2 * (1.0 / 40320 - r2 / 3628800))));
    const double unsigned_sine = (quadrant & 1) != 0 ? c : s;
    const double unsigned_cosine = (quadrant & 1) != 0 ? s : c;
    sine[i] = static_cast<float>((quadrant & 2) != 0 ? -unsigned_sine : unsigned_sine);
    cosine[i] = static_cast<float>(((quadrant + 1) & 2) != 0 ? -unsigned_cosine : unsigned_cosine);
  }
}

}  // namespace

float RowMax(const float* x, int64_t count) { return MaxOf(x, count); }
double RowMax(const double* x, int64_t count) { return MaxOf(x, count); }
float RowMax(const Bf16* x, int64_t count) { return MaxOf(x, count); }

float RowSumExp(const float* x, int64_t count, float offset) { return SumExpOf(x, count, offset); }
double RowSumExp(const double* x, int64_t count, double offset) {
  return SumExpOf(x, count, offset);
}
float RowSumExp(const Bf16* x, int64_t count, float offset) { return SumExpOf(x, count, offset); }

float RowExp(const float* x, int64_t count, float offset, float* y) {
  return ExpOf(x, count, offset, y);
}
double RowExp(const double* x, int64_t count, double offset, double* y) {
  return ExpOf(x, count, offset, y);
}

void RowScaledExp(const Bf16* x, int64_t count, float offset, float factor, Bf16* y) {
  ScaledExpOf(x, count, offset, factor, y);
}

void RowScale(float* y, int64_t count, float factor) { ScaleBy(y, count, factor); }
void RowScale(double* y, int64_t count, double factor) { ScaleBy(y, count, factor); }

void RowAddScaled(const float* x, int64_t count, float factor, float* y) {
  AddScaledOf(x, count, factor, y);
}
void RowAddScaled(const double* x, int64_t count, double factor, double* y) {
  AddScaledOf(x, count, factor, y);
}
void RowAddScaled(const Bf16* x, int64_t count, float factor, float* y) {
  AddScaledOf(x, count, factor, y);
}
void RowAddScaled(const Bf16* x, int64_t count, float factor, Bf16* y) {
  AddScaledOf(x, count, factor, y);
}

float RowDot(const float* a, const float* b, int64_t count) { return DotOf(a, b, count); }
double RowDot(const double* a, const double* b, int64_t count) { return DotOf(a, b, count); }
float RowDot(const Bf16* a, const Bf16* b, int64_t count) { return DotOf(a, b, count); }

double RowSumSquares(const float* x, int64_t count) { return SumSquaresOf(x, count); }
double RowSumSquares(const double* x, int64_t count) { return SumSquaresOf(x, count); }
double RowSumSquares(const Bf16* x, int64_t count) { return SumSquaresOf(x, count); }

void RowCosSin(const float* angle, int64_t count, float* cosine, float* sine) {
  CosSinOf(angle, count, cosine, sine);
}
void RowCosSin(const double* angle, int64_t count, double* cosine, double* sine) {
  for (int64_t i = 0; i < count; ++i) {
    cosine[i] = std::cos(angle[i]);
    sine[i] = std::sin(angle[i]);
  }
}

}  // namespace tunesmith::trainer::cpu
