#include "trainer/ops/rms_norm_cpu.h"

#include <cmath>

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/sum_rows.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// y = x * rstd * (offset + weight).
template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void NormalizeRow(const S* x, const S* weight, int64_t C, T offset, T rstd,
                                          S* y) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) y[c] = T(x[c]) * rstd * (offset + T(weight[c]));
}

// Sum of (offset + weight) * dy * x.
template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES T ProjectRow(const S* dy, const S* x, const S* weight, int64_t C,
                                     T offset) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < C; ++c) sum += (offset + T(weight[c])) * T(dy[c]) * T(x[c]);
  return sum;
}

// dx = rstd * ((offset + weight) * dy - x * projection), element by element, so dx may be dy.
template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void BackwardRow(const S* dy, const S* x, const S* weight, int64_t C,
                                         T offset, T rstd, T projection, S* dx) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c)
    dx[c] = rstd * ((offset + T(weight[c])) * T(dy[c]) - T(x[c]) * projection);
}

template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void AccumulateBackwardRow(const S* dy, const S* x, const S* weight,
                                                   int64_t C, T offset, T rstd, T projection,
                                                   S* dx) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c)
    dx[c] = T(dx[c]) + rstd * ((offset + T(weight[c])) * T(dy[c]) - T(x[c]) * projection);
}

template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void AddWeightGradientRow(const S* dy, const S* x, int64_t count, T rstd,
                                                  T* sums) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) sums[c] += T(dy[c]) * T(x[c]) * rstd;
}

}  // namespace

absl::Status RmsNorm(ThreadPool& threads, const RmsNormArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitStorage(OpKind::kRmsNorm, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    using T = Arithmetic<S>;
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const S* x = args.x.as<S>() + i * C;
        const double mean_square = RowSumSquares(x, C) / static_cast<double>(C);
        const T rstd = static_cast<T>(1.0 / std::sqrt(mean_square + args.epsilon));
        args.rstd.as<T>()[i] = rstd;
        NormalizeRow(x, args.weight.as<S>(), C, static_cast<T>(args.weight_offset), rstd,
                     args.y.as<S>() + i * C);
      }
    });
    return absl::OkStatus();
  });
}

absl::Status RmsNormBackward(ThreadPool& threads, const RmsNormBackwardArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitStorage(OpKind::kRmsNormBackward, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    using T = Arithmetic<S>;
    const S* weight = args.weight.as<S>();
    const T offset = static_cast<T>(args.weight_offset);
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const S* dy = args.dy.as<S>() + i * C;
        const S* x = args.x.as<S>() + i * C;
        S* dx = args.dx.as<S>() + i * C;
        const T rstd = args.rstd.as<T>()[i];
        const T projection = ProjectRow(dy, x, weight, C, offset) * rstd * rstd / static_cast<T>(C);
        if (args.accumulate) {
          AccumulateBackwardRow(dy, x, weight, C, offset, rstd, projection, dx);
        } else {
          BackwardRow(dy, x, weight, C, offset, rstd, projection, dx);
        }
      }
    });
    return absl::OkStatus();
  });
}

absl::Status RmsNormBackwardWeight(ThreadPool& threads, const RmsNormBackwardWeightArgs& args) {
  const int64_t BT = args.x.dims[0], C = args.x.dims[1];
  return VisitAccumulator(OpKind::kRmsNormBackwardWeight, args.x.dtype, args.dweight.dtype,
                          [&](auto storage, auto accumulator) {
                            using S = decltype(storage);
                            using A = decltype(accumulator);
                            using T = Arithmetic<S>;
                            SumRows<A, T>(threads, BT, C, args.accumulate, args.dweight.as<A>(),
                                          [&](int64_t i, int64_t begin, int64_t count, T* sums) {
                                            AddWeightGradientRow(args.dy.as<S>() + i * C + begin,
                                                                 args.x.as<S>() + i * C + begin,
                                                                 count, args.rstd.as<T>()[i], sums);
                                          });
                            return absl::OkStatus();
                          });
}

}  // namespace tunesmith::trainer::cpu
