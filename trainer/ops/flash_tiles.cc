#include "trainer/ops/flash_tiles.h"

#include <limits>

#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

constexpr int64_t kTile = planner::kFlashTile;

template <typename T>
constexpr T kHidden = -std::numeric_limits<T>::infinity();

template <typename T>
TUNESMITH_VECTOR_CLONES void Hide(int64_t key_count, const VisibleKeys& visible, T* scores) {
  for (int32_t j = 0; j < key_count; ++j) {
    T* row = scores + j * kTile;
#pragma omp simd
    for (int64_t r = 0; r < kTile; ++r) {
      const bool seen = (visible.first[r] <= j) & (j <= visible.last[r]);
      row[r] = seen ? row[r] : kHidden<T>;
    }
  }
}

template <typename T>
TUNESMITH_VECTOR_CLONES void TakeMaxima(int64_t key_count, const T* scores, T* maxima) {
  for (int64_t j = 0; j < key_count; ++j) {
#pragma omp simd
    for (int64_t r = 0; r < kTile; ++r) {
      const T score = scores[j * kTile + r];
      maxima[r] = score > maxima[r] ? score : maxima[r];
    }
  }
}

template <typename T>
TUNESMITH_VECTOR_CLONES void ExpAndSum(int64_t key_count, const T* offsets, T* scores, T* sums) {
  for (int64_t j = 0; j < key_count; ++j) {
    T* row = scores + j * kTile;
#pragma omp simd
    for (int64_t r = 0; r < kTile; ++r) {
      const T p = Exp2(row[r] - offsets[r]);
      row[r] = p;
      sums[r] += p;
    }
  }
}

template <typename T>
bool Softmax(int64_t key_count, const VisibleKeys& visible, T* scores, SoftmaxState<T>& state,
             T* factors) {
  if (!visible.all) Hide(key_count, visible, scores);
  T maxima[kTile], offsets[kTile];
  for (int64_t r = 0; r < kTile; ++r) maxima[r] = state.maxima[r];
  TakeMaxima(key_count, scores, maxima);
  bool any = false;
  for (int64_t r = 0; r < kTile; ++r) {
    // A query that has seen nothing yet has no maximum to subtract.
    offsets[r] = maxima[r] == kHidden<T> ? T{0} : maxima[r];
    factors[r] = Exp2(state.maxima[r] - offsets[r]);
    state.sums[r] *= factors[r];
    any |= factors[r] != T{1};
    state.maxima[r] = maxima[r];
  }
  ExpAndSum(key_count, offsets, scores, state.sums);
  return any;
}

template <typename T>
TUNESMITH_VECTOR_CLONES void Backward(int64_t key_count, T scale, const T* log_sums,
                                      const T* projections, T* scores, T* gradients) {
  for (int64_t j = 0; j < key_count; ++j) {
    T* row = scores + j * kTile;
    T* gradient = gradients + j * kTile;
#pragma omp simd
    for (int64_t r = 0; r < kTile; ++r) {
      const T p = Exp2(row[r] - log_sums[r]);
      row[r] = p;
      gradient[r] = scale * p * (gradient[r] - projections[r]);
    }
  }
}

// As Backward; what lies at hidden pairs may be anything, so it is never multiplied with.
template <typename T>
TUNESMITH_VECTOR_CLONES void BackwardVisible(int64_t key_count, const VisibleKeys& visible, T scale,
                                             const T* log_sums, const T* projections, T* scores,
                                             T* gradients) {
  for (int32_t j = 0; j < key_count; ++j) {
    T* row = scores + j * kTile;
    T* gradient = gradients + j * kTile;
#pragma omp simd
    for (int64_t r = 0; r < kTile; ++r) {
      const bool seen = (visible.first[r] <= j) & (j <= visible.last[r]);
      const T p = Exp2(row[r] - log_sums[r]);
      const T g = scale * p * (gradient[r] - projections[r]);
      row[r] = seen ? p : T{0};
      gradient[r] = seen ? g : T{0};
    }
  }
}

template <typename T>
TUNESMITH_VECTOR_CLONES void Cap(int64_t key_count, T cap, T* scores) {
  const T inverse = T{1} / cap;
#pragma omp simd
  for (int64_t i = 0; i < key_count * kTile; ++i) scores[i] = cap * Tanh(scores[i] * inverse);
}

template <typename T>
TUNESMITH_VECTOR_CLONES void Bias(int64_t key_count, T slope, T first_distance, T* scores) {
  for (int64_t j = 0; j < key_count; ++j) {
    T* row = scores + j * kTile;
    const T distance = first_distance - static_cast<T>(j);
#pragma omp simd
    for (int32_t r = 0; r < kTile; ++r) row[r] -= slope * (distance + static_cast<T>(r));
  }
}

template <typename T>
void Change(int64_t key_count, const TileChange<T>& change, T* scores) {
  if (change.cap > 0) Cap(key_count, change.cap, scores);
  if (change.slope != 0) Bias(key_count, change.slope, change.first_distance, scores);
}

template <typename T>
TUNESMITH_VECTOR_CLONES void Slopes(int64_t key_count, const TileChange<T>& change, const T* scores,
                                    T* slopes) {
  const T inverse = T{1} / change.cap;
  for (int64_t j = 0; j < key_count; ++j) {
    const T distance = change.first_distance - static_cast<T>(j);
#pragma omp simd
    for (int32_t r = 0; r < kTile; ++r) {
      const T capped = scores[j * kTile + r] + change.slope * (distance + static_cast<T>(r));
      const T share = capped * inverse;
      slopes[j * kTile + r] = T{1} - share * share;
    }
  }
}

template <typename T>
TUNESMITH_VECTOR_CLONES void Multiply(int64_t count, const T* x, T* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] *= x[i];
}

}  // namespace

void ChangeScores(int64_t key_count, const TileChange<float>& change, float* scores) {
  Change(key_count, change, scores);
}
void ChangeScores(int64_t key_count, const TileChange<double>& change, double* scores) {
  Change(key_count, change, scores);
}

void CapSlopes(int64_t key_count, const TileChange<float>& change, const float* scores,
               float* slopes) {
  Slopes(key_count, change, scores, slopes);
}
void CapSlopes(int64_t key_count, const TileChange<double>& change, const double* scores,
               double* slopes) {
  Slopes(key_count, change, scores, slopes);
}

void MultiplyTile(int64_t key_count, const float* x, float* y) {
  Multiply(key_count * kTile, x, y);
}
void MultiplyTile(int64_t key_count, const double* x, double* y) {
  Multiply(key_count * kTile, x, y);
}

bool SoftmaxTile(int64_t key_count, const VisibleKeys& visible, float* scores,
                 SoftmaxState<float>& state, float* factors) {
  return Softmax(key_count, visible, scores, state, factors);
}
bool SoftmaxTile(int64_t key_count, const VisibleKeys& visible, double* scores,
                 SoftmaxState<double>& state, double* factors) {
  return Softmax(key_count, visible, scores, state, factors);
}

void SoftmaxBackwardTile(int64_t key_count, const VisibleKeys& visible, float scale,
                         const float* log_sums, const float* projections, float* scores,
                         float* gradients) {
  if (visible.all) return Backward(key_count, scale, log_sums, projections, scores, gradients);
  BackwardVisible(key_count, visible, scale, log_sums, projections, scores, gradients);
}
void SoftmaxBackwardTile(int64_t key_count, const VisibleKeys& visible, double scale,
                         const double* log_sums, const double* projections, double* scores,
                         double* gradients) {
  if (visible.all) return Backward(key_count, scale, log_sums, projections, scores, gradients);
  BackwardVisible(key_count, visible, scale, log_sums, projections, scores, gradients);
}

}  // namespace tunesmith::trainer::cpu
