#include "trainer/ops/linear_cpu.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "common/status_macros.h"
#include "trainer/ops/blas.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/mixed_gemm.h"
#include "trainer/ops/sum_rows.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// y (BT, O) = scale * x weight^T + beta * y.
template <typename T>
Gemm<T> ForwardGemm(const Tensor& x, const Tensor& weight, const Tensor& y, double scale, T beta) {
  const int64_t BT = x.dims[0], I = x.dims[1], O = weight.dims[0];
  return {.transpose_b = true,
          .m = BT,
          .n = O,
          .k = I,
          .alpha = static_cast<T>(scale),
          .a = x.as<T>(),
          .a_stride = x.row_stride(),
          .b = weight.as<T>(),
          .b_stride = I,
          .beta = beta,
          .c = y.as<T>(),
          .c_stride = O};
}

// y (BT, O) = scale * x weight^T + addend, whose rows are `addend_stride` apart.
MixedGemm<Bf16, Bf16> ForwardMixedGemm(const Tensor& x, const Tensor& weight, const Tensor& addend,
                                       int64_t addend_stride, const Tensor& y, double scale) {
  const int64_t BT = x.dims[0], I = x.dims[1], O = weight.dims[0];
  return {.transpose_b = true,
          .m = BT,
          .n = O,
          .k = I,
          .alpha = static_cast<float>(scale),
          .a = x.as<Bf16>(),
          .a_stride = x.row_stride(),
          .b = weight.as<Bf16>(),
          .b_stride = I,
          .addend = addend.as<Bf16>(),
          .addend_stride = addend_stride,
          .c = y.as<Bf16>(),
          .c_stride = O};
}

template <typename T>
void CopyAll(ThreadPool& threads, const Tensor& x, const Tensor& y) {
  threads.ForRanges(x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(y.as<T>() + begin, x.as<T>() + begin, (end - begin) * sizeof(T));
  });
}

template <typename T>
void CopyToRows(ThreadPool& threads, const Tensor& row, const Tensor& y) {
  const int64_t BT = y.dims[0], O = y.dims[1];
  threads.ForRanges(BT, RowGrain(O), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::copy_n(row.as<T>(), O, y.as<T>() + i * O);
  });
}

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void SumRow(const S* a, const S* b, int64_t count, S* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = T(a[i]) + T(b[i]);
}

// Every row of y = that of addend + `row`.
template <typename S>
void AddToRows(ThreadPool& threads, const Tensor& addend, const Tensor& row, const Tensor& y) {
  const int64_t BT = y.dims[0], O = y.dims[1];
  threads.ForRanges(BT, RowGrain(O), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      SumRow(addend.as<S>() + i * O, row.as<S>(), O, y.as<S>() + i * O);
  });
}

// Whether BLAS computes it where it lies: one of its own types throughout.
template <typename S, typename A = S>
constexpr bool kPlain = std::is_same_v<S, A> && !std::is_same_v<S, Bf16>;

}  // namespace

absl::Status Linear(ThreadPool& threads, const LinearArgs& args) {
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitStorage(OpKind::kLinear, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    if constexpr (kPlain<S>) {
      const bool adds = args.addend.data != nullptr;
      if (adds && args.addend.data != args.y.data) CopyAll<S>(threads, args.addend, args.y);
      RunGemm(*blas, threads,
              ForwardGemm<S>(args.x, args.weight, args.y, args.scale, adds ? S{1} : S{0}));
      return absl::OkStatus();
    } else {
      return RunMixedGemm(
          OpKind::kLinear, *blas, threads,
          ForwardMixedGemm(args.x, args.weight, args.addend, args.y.dims[1], args.y, args.scale),
          args.workspace);
    }
  });
}

absl::Status LinearBias(ThreadPool& threads, const LinearBiasArgs& args) {
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitStorage(OpKind::kLinearBias, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    const bool adds = args.addend.data != nullptr;
    if (adds) AddToRows<S>(threads, args.addend, args.bias, args.y);
    if constexpr (kPlain<S>) {
      if (!adds) CopyToRows<S>(threads, args.bias, args.y);
      RunGemm(*blas, threads, ForwardGemm<S>(args.x, args.weight, args.y, 1.0, S{1}));
      return absl::OkStatus();
    } else {
      return RunMixedGemm(OpKind::kLinearBias, *blas, threads,
                          ForwardMixedGemm(args.x, args.weight, adds ? args.y : args.bias,
                                           adds ? args.y.dims[1] : 0, args.y, 1.0),
                          args.workspace);
    }
  });
}

absl::Status LinearBackwardInput(ThreadPool& threads, const LinearBackwardInputArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1], I = args.weight.dims[1];
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitStorage(OpKind::kLinearBackwardInput, args.dy.dtype, [&](auto storage) {
    using S = decltype(storage);
    if constexpr (kPlain<S>) {
      RunGemm(*blas, threads,
              Gemm<S>{.m = BT,
                      .n = I,
                      .k = O,
                      .alpha = static_cast<S>(args.scale),
                      .a = args.dy.as<S>(),
                      .a_stride = O,
                      .b = args.weight.as<S>(),
                      .b_stride = I,
                      .beta = args.accumulate ? S{1} : S{0},
                      .c = args.dx.as<S>(),
                      .c_stride = args.dx.row_stride()});
      return absl::OkStatus();
    } else {
      return RunMixedGemm(OpKind::kLinearBackwardInput, *blas, threads,
                          MixedGemm<S, S>{.m = BT,
                                          .n = I,
                                          .k = O,
                                          .alpha = static_cast<float>(args.scale),
                                          .a = args.dy.as<S>(),
                                          .a_stride = O,
                                          .b = args.weight.as<S>(),
                                          .b_stride = I,
                                          .addend = args.accumulate ? args.dx.as<S>() : nullptr,
                                          .addend_stride = args.dx.row_stride(),
                                          .c = args.dx.as<S>(),
                                          .c_stride = args.dx.row_stride()},
                          args.workspace);
    }
  });
}

absl::Status LinearBackwardWeight(ThreadPool& threads, const LinearBackwardWeightArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1], I = args.x.dims[1];
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitAccumulator(
      OpKind::kLinearBackwardWeight, args.dy.dtype, args.dweight.dtype,
      [&](auto storage, auto accumulator) {
        using S = decltype(storage);
        using A = decltype(accumulator);
        if constexpr (kPlain<S, A>) {
          RunGemm(*blas, threads,
                  Gemm<S>{.transpose_a = true,
                          .m = O,
                          .n = I,
                          .k = BT,
                          .alpha = static_cast<S>(args.scale),
                          .a = args.dy.as<S>(),
                          .a_stride = O,
                          .b = args.x.as<S>(),
                          .b_stride = args.x.row_stride(),
                          .beta = args.accumulate ? S{1} : S{0},
                          .c = args.dweight.as<S>(),
                          .c_stride = I});
          return absl::OkStatus();
        } else {
          return RunMixedGemm(
              OpKind::kLinearBackwardWeight, *blas, threads,
              MixedGemm<S, A>{.transpose_a = true,
                              .m = O,
                              .n = I,
                              .k = BT,
                              .alpha = static_cast<float>(args.scale),
                              .a = args.dy.as<S>(),
                              .a_stride = O,
                              .b = args.x.as<S>(),
                              .b_stride = args.x.row_stride(),
                              .addend = args.accumulate ? args.dweight.as<A>() : nullptr,
                              .addend_stride = I,
                              .c = args.dweight.as<A>(),
                              .c_stride = I},
              args.workspace);
        }
      });
}

absl::Status BiasBackward(ThreadPool& threads, const BiasBackwardArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1];
  return VisitAccumulator(
      OpKind::kBiasBackward, args.dy.dtype, args.dbias.dtype, [&](auto storage, auto accumulator) {
        using S = decltype(storage);
        using A = decltype(accumulator);
        using T = Arithmetic<S>;
        SumRows<A, T>(threads, BT, O, args.accumulate, args.dbias.as<A>(),
                      [&](int64_t i, int64_t begin, int64_t count, T* sums) {
                        RowAddScaled(args.dy.as<S>() + i * O + begin, count, T{1}, sums);
                      });
        return absl::OkStatus();
      });
}

}  // namespace tunesmith::trainer::cpu
