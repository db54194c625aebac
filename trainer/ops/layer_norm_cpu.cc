#include "trainer/ops/layer_norm_cpu.h"

#include <cmath>

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/sum_rows.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// Sums of (x - offset) and its square, in f64.
struct Moments {
  double sum = 0;
  double squares = 0;
};

template <typename S>
TUNESMITH_VECTOR_CLONES Moments MomentsOfRow(const S* x, int64_t C, double offset) {
  using T = Arithmetic<S>;
  double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum, squares)
  for (int64_t c = 0; c < C; ++c) {
    const double d = static_cast<double>(T(x[c])) - offset;
    sum += d;
    squares += d * d;
  }
  return {sum, squares};
}

template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void NormalizeRow(const S* x, const S* weight, int64_t C, T mean, T rstd,
                                          S* y) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) y[c] = (T(x[c]) - mean) * rstd * T(weight[c]);
}

template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void NormalizeRowWithBias(const S* x, const S* weight, const S* bias,
                                                  int64_t C, T mean, T rstd, S* y) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) y[c] = (T(x[c]) - mean) * rstd * T(weight[c]) + T(bias[c]);
}

// Means of g = weight * dy and of g * n.
template <typename T>
struct Projections {
  T plain;
  T normed;
};

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES Projections<T> ProjectRow(const S* dy, const S* x, const S* weight,
                                                  int64_t C, T mean, T rstd) {
  T plain = 0, normed = 0;
#pragma omp simd reduction(+ : plain, normed)
  for (int64_t c = 0; c < C; ++c) {
    const T g = T(weight[c]) * T(dy[c]);
    plain += g;
    normed += g * (T(x[c]) - mean);
  }
  const T count = static_cast<T>(C);
  return {plain / count, normed * rstd / count};
}

// Element by element, so that dx may be dy.
template <bool kAccumulate, typename S, typename T>
TUNESMITH_VECTOR_CLONES void BackwardRow(const S* dy, const S* x, const S* weight, int64_t C,
                                         T mean, T rstd, Projections<T> p, S* dx) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) {
    const T g = T(weight[c]) * T(dy[c]);
    const T d = rstd * (g - p.plain - (T(x[c]) - mean) * rstd * p.normed);
    dx[c] = kAccumulate ? T(dx[c]) + d : d;
  }
}

template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void AddWeightGradientRow(const S* dy, const S* x, int64_t count, T mean,
                                                  T rstd, T* sums) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) sums[c] += T(dy[c]) * (T(x[c]) - mean) * rstd;
}

template <typename S>
void ForwardRow(const LayerNormArgs& args, int64_t i) {
  using T = Arithmetic<S>;
  const int64_t C = args.x.dims[1];
  const S* x = args.x.as<S>() + i * C;
  const double mean = MomentsOfRow(x, C, 0.0).sum / static_cast<double>(C);
  const double variance = MomentsOfRow(x, C, mean).squares / static_cast<double>(C);
  const T m = static_cast<T>(mean), rstd = static_cast<T>(1.0 / std::sqrt(variance + args.epsilon));
  args.mean.as<T>()[i] = m;
  args.rstd.as<T>()[i] = rstd;
  S* y = args.y.as<S>() + i * C;
  if (args.bias.data == nullptr) {
    NormalizeRow(x, args.weight.as<S>(), C, m, rstd, y);
  } else {
    NormalizeRowWithBias(x, args.weight.as<S>(), args.bias.as<S>(), C, m, rstd, y);
  }
}

}  // namespace

absl::Status LayerNorm(ThreadPool& threads, const LayerNormArgs& args) {
  return VisitStorage(OpKind::kLayerNorm, args.x.dtype, [&](auto storage) {
    threads.ForRanges(args.x.dims[0], RowGrain(args.x.dims[1]), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ForwardRow<decltype(storage)>(args, i);
    });
    return absl::OkStatus();
  });
}

absl::Status LayerNormBackward(ThreadPool& threads, const LayerNormBackwardArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitStorage(OpKind::kLayerNormBackward, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    using T = Arithmetic<S>;
    const S* weight = args.weight.as<S>();
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const S* dy = args.dy.as<S>() + i * C;
        const S* x = args.x.as<S>() + i * C;
        S* dx = args.dx.as<S>() + i * C;
        const T mean = args.mean.as<T>()[i], rstd = args.rstd.as<T>()[i];
        const Projections<T> p = ProjectRow(dy, x, weight, C, mean, rstd);
        if (args.accumulate) {
          BackwardRow<true>(dy, x, weight, C, mean, rstd, p, dx);
        } else {
          BackwardRow<false>(dy, x, weight, C, mean, rstd, p, dx);
        }
      }
    });
    return absl::OkStatus();
  });
}

absl::Status LayerNormBackwardWeight(ThreadPool& threads, const LayerNormBackwardWeightArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitAccumulator(OpKind::kLayerNormBackwardWeight, args.x.dtype, args.dweight.dtype,
                          [&](auto storage, auto accumulator) {
                            using S = decltype(storage);
                            using A = decltype(accumulator);
                            using T = Arithmetic<S>;
                            SumRows<A, T>(threads, BT, C, args.accumulate, args.dweight.as<A>(),
                                          [&](int64_t i, int64_t begin, int64_t count, T* sums) {
                                            AddWeightGradientRow(args.dy.as<S>() + i * C + begin,
                                                                 args.x.as<S>() + i * C + begin,
                                                                 count, args.mean.as<T>()[i],
                                                                 args.rstd.as<T>()[i], sums);
                                          });
                            return absl::OkStatus();
                          });
}

}  // namespace tunesmith::trainer::cpu
