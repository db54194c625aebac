#include "trainer/ops/rms_norm_cpu.h"

#include <algorithm>
#include <cmath>

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// y = x * rstd * weight.
template <typename T>
TUNESMITH_VECTOR_CLONES void NormalizeRow(const T* x, const T* weight, int64_t C, T rstd, T* y) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) y[c] = x[c] * rstd * weight[c];
}

// Sum of weight * dy * x.
template <typename T>
TUNESMITH_VECTOR_CLONES T ProjectRow(const T* dy, const T* x, const T* weight, int64_t C) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < C; ++c) sum += weight[c] * dy[c] * x[c];
  return sum;
}

// dx = rstd * (weight * dy - x * projection), element by element, so dx may be dy.
template <typename T>
TUNESMITH_VECTOR_CLONES void BackwardRow(const T* dy, const T* x, const T* weight, int64_t C,
                                         T rstd, T projection, T* dx) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) dx[c] = rstd * (weight[c] * dy[c] - x[c] * projection);
}

template <typename T>
TUNESMITH_VECTOR_CLONES void AccumulateBackwardRow(const T* dy, const T* x, const T* weight,
                                                   int64_t C, T rstd, T projection, T* dx) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) dx[c] += rstd * (weight[c] * dy[c] - x[c] * projection);
}

template <typename T>
TUNESMITH_VECTOR_CLONES void AddWeightGradientRow(const T* dy, const T* x, int64_t count, T rstd,
                                                  T* dweight) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) dweight[c] += dy[c] * x[c] * rstd;
}

}  // namespace

absl::Status RmsNorm(ThreadPool& threads, const RmsNormArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitComputeType(OpKind::kRmsNorm, args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* x = args.x.as<T>() + i * C;
        const double mean_square = RowSumSquares(x, C) / static_cast<double>(C);
        const T rstd = static_cast<T>(1.0 / std::sqrt(mean_square + args.epsilon));
        args.rstd.as<T>()[i] = rstd;
        NormalizeRow(x, args.weight.as<T>(), C, rstd, args.y.as<T>() + i * C);
      }
    });
    return absl::OkStatus();
  });
}

absl::Status RmsNormBackward(ThreadPool& threads, const RmsNormBackwardArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitComputeType(OpKind::kRmsNormBackward, args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* weight = args.weight.as<T>();
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* dy = args.dy.as<T>() + i * C;
        const T* x = args.x.as<T>() + i * C;
        T* dx = args.dx.as<T>() + i * C;
        const T rstd = args.rstd.as<T>()[i];
        const T projection = ProjectRow(dy, x, weight, C) * rstd * rstd / static_cast<T>(C);
        if (args.accumulate) {
          AccumulateBackwardRow(dy, x, weight, C, rstd, projection, dx);
        } else {
          BackwardRow(dy, x, weight, C, rstd, projection, dx);
        }
      }
    });
    return absl::OkStatus();
  });
}

// Each thread sums a range of columns over all rows in their order.
absl::Status RmsNormBackwardWeight(ThreadPool& threads, const RmsNormBackwardWeightArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitComputeType(OpKind::kRmsNormBackwardWeight, args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(C, kColumnGrain, [&](int64_t begin, int64_t end) {
      T* dweight = args.dweight.as<T>() + begin;
      if (!args.accumulate) std::fill_n(dweight, end - begin, T{0});
      for (int64_t i = 0; i < BT; ++i) {
        AddWeightGradientRow(args.dy.as<T>() + i * C + begin, args.x.as<T>() + i * C + begin,
                             end - begin, args.rstd.as<T>()[i], dweight);
      }
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
