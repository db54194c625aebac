#include "trainer/ops/linear_cpu.h"

#include <algorithm>
#include <cstring>

#include "common/status_macros.h"
#include "trainer/ops/blas.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
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
          .a_stride = I,
          .b = weight.as<T>(),
          .b_stride = I,
          .beta = beta,
          .c = y.as<T>(),
          .c_stride = O};
}

template <typename T>
void CopyAll(ThreadPool& threads, const Tensor& x, const Tensor& y) {
  threads.ForRanges(x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(y.as<T>() + begin, x.as<T>() + begin, (end - begin) * sizeof(T));
  });
}

}  // namespace

absl::Status Linear(ThreadPool& threads, const LinearArgs& args) {
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitComputeType(OpKind::kLinear, args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool adds = args.addend.data != nullptr;
    if (adds && args.addend.data != args.y.data) CopyAll<T>(threads, args.addend, args.y);
    RunGemm(*blas, threads,
            ForwardGemm<T>(args.x, args.weight, args.y, args.scale, adds ? T{1} : T{0}));
    return absl::OkStatus();
  });
}

absl::Status LinearBias(ThreadPool& threads, const LinearBiasArgs& args) {
  const int64_t BT = args.y.dims[0], O = args.y.dims[1];
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitComputeType(OpKind::kLinearBias, args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(BT, RowGrain(O), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(args.bias.as<T>(), O, args.y.as<T>() + i * O);
      }
    });
    RunGemm(*blas, threads, ForwardGemm<T>(args.x, args.weight, args.y, 1.0, T{1}));
    return absl::OkStatus();
  });
}

absl::Status LinearBackwardInput(ThreadPool& threads, const LinearBackwardInputArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1], I = args.weight.dims[1];
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitComputeType(OpKind::kLinearBackwardInput, args.dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    RunGemm(*blas, threads,
            Gemm<T>{.m = BT,
                    .n = I,
                    .k = O,
                    .alpha = static_cast<T>(args.scale),
                    .a = args.dy.as<T>(),
                    .a_stride = O,
                    .b = args.weight.as<T>(),
                    .b_stride = I,
                    .beta = args.accumulate ? T{1} : T{0},
                    .c = args.dx.as<T>(),
                    .c_stride = I});
    return absl::OkStatus();
  });
}

absl::Status LinearBackwardWeight(ThreadPool& threads, const LinearBackwardWeightArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1], I = args.x.dims[1];
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  return VisitComputeType(OpKind::kLinearBackwardWeight, args.dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    RunGemm(*blas, threads,
            Gemm<T>{.transpose_a = true,
                    .m = O,
                    .n = I,
                    .k = BT,
                    .alpha = static_cast<T>(args.scale),
                    .a = args.dy.as<T>(),
                    .a_stride = O,
                    .b = args.x.as<T>(),
                    .b_stride = I,
                    .beta = args.accumulate ? T{1} : T{0},
                    .c = args.dweight.as<T>(),
                    .c_stride = I});
    return absl::OkStatus();
  });
}

// Each thread sums a range of columns over all rows in their order.
absl::Status BiasBackward(ThreadPool& threads, const BiasBackwardArgs& args) {
  const int64_t BT = args.dy.dims[0], O = args.dy.dims[1];
  return VisitComputeType(OpKind::kBiasBackward, args.dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(O, kColumnGrain, [&](int64_t begin, int64_t end) {
      T* dbias = args.dbias.as<T>() + begin;
      if (!args.accumulate) std::fill_n(dbias, end - begin, T{0});
      for (int64_t i = 0; i < BT; ++i) {
        RowAddScaled(args.dy.as<T>() + i * O + begin, end - begin, T{1}, dbias);
      }
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
