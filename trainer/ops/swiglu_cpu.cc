#include "trainer/ops/swiglu_cpu.h"

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void Forward(const S* gate, const S* up, int64_t count, S* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = T(gate[i]) * Sigmoid(T(gate[i])) * T(up[i]);
}

// silu'(x) = s (1 + x (1 - s)), s = sigmoid(x).
template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void Backward(const S* dy, const S* gate, const S* up, int64_t count,
                                      S* dgate, S* dup) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const T g = T(gate[i]), u = T(up[i]), d = T(dy[i]);
    const T s = Sigmoid(g);
    dgate[i] = d * u * s * (1 + g * (1 - s));
    dup[i] = d * g * s;
  }
}

}  // namespace

absl::Status SwiGlu(ThreadPool& threads, const SwiGluArgs& args) {
  return VisitStorage(OpKind::kSwiGlu, args.gate.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(args.gate.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
      Forward(args.gate.as<S>() + begin, args.up.as<S>() + begin, end - begin,
              args.y.as<S>() + begin);
    });
    return absl::OkStatus();
  });
}

absl::Status SwiGluBackward(ThreadPool& threads, const SwiGluBackwardArgs& args) {
  return VisitStorage(OpKind::kSwiGluBackward, args.gate.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(args.gate.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
      Backward(args.dy.as<S>() + begin, args.gate.as<S>() + begin, args.up.as<S>() + begin,
               end - begin, args.dgate.as<S>() + begin, args.dup.as<S>() + begin);
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
