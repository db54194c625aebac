#include "trainer/ops/swiglu_cpu.h"

#include "trainer/ops/activation_math.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

template <planner::Activation kActivation, typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void Forward(const S* gate, const S* up, int64_t count, S* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = Activate<kActivation>(T(gate[i])).value * T(up[i]);
}

template <planner::Activation kActivation, typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void Backward(const S* dy, const S* gate, const S* up, int64_t count,
                                      S* dgate, S* dup) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const T u = T(up[i]), d = T(dy[i]);
    const ActivationValue<T> a = Activate<kActivation>(T(gate[i]));
    dgate[i] = d * u * a.slope;
    dup[i] = d * a.value;
  }
}

template <typename S>
S* Row(const Tensor& matrix, int64_t row) {
  return matrix.as<S>() + row * matrix.row_stride();
}

}  // namespace

absl::Status SwiGlu(ThreadPool& threads, const SwiGluArgs& args) {
  return VisitStorage(OpKind::kSwiGlu, args.gate.dtype, [&](auto storage) {
    using S = decltype(storage);
    return VisitActivation(args.activation, [&](auto activation) {
      const int64_t width = args.y.dims[1];
      threads.ForRanges(args.y.dims[0], RowGrain(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          Forward<activation()>(Row<S>(args.gate, i), Row<S>(args.up, i), width, Row<S>(args.y, i));
      });
      return absl::OkStatus();
    });
  });
}

absl::Status SwiGluBackward(ThreadPool& threads, const SwiGluBackwardArgs& args) {
  return VisitStorage(OpKind::kSwiGluBackward, args.gate.dtype, [&](auto storage) {
    using S = decltype(storage);
    return VisitActivation(args.activation, [&](auto activation) {
      const int64_t width = args.dy.dims[1];
      threads.ForRanges(args.dy.dims[0], RowGrain(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          Backward<activation()>(Row<S>(args.dy, i), Row<S>(args.gate, i), Row<S>(args.up, i),
                                 width, Row<S>(args.dgate, i), Row<S>(args.dup, i));
      });
      return absl::OkStatus();
    });
  });
}

}  // namespace tunesmith::trainer::cpu
