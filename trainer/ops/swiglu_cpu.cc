#include "trainer/ops/swiglu_cpu.h"

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

template <typename T>
TUNESMITH_VECTOR_CLONES void Forward(const T* gate, const T* up, int64_t count, T* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = gate[i] * Sigmoid(gate[i]) * up[i];
}

// silu'(x) = s (1 + x (1 - s)), s = sigmoid(x).
template <typename T>
TUNESMITH_VECTOR_CLONES void Backward(const T* dy, const T* gate, const T* up, int64_t count,
                                      T* dgate, T* dup) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const T g = gate[i], u = up[i], d = dy[i];
    const T s = Sigmoid(g);
    dgate[i] = d * u * s * (1 + g * (1 - s));
    dup[i] = d * g * s;
  }
}

}  // namespace

absl::Status SwiGlu(ThreadPool& threads, const SwiGluArgs& args) {
  return VisitComputeType(OpKind::kSwiGlu, args.gate.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(args.gate.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
      Forward(args.gate.as<T>() + begin, args.up.as<T>() + begin, end - begin,
              args.y.as<T>() + begin);
    });
    return absl::OkStatus();
  });
}

absl::Status SwiGluBackward(ThreadPool& threads, const SwiGluBackwardArgs& args) {
  return VisitComputeType(OpKind::kSwiGluBackward, args.gate.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(args.gate.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
      Backward(args.dy.as<T>() + begin, args.gate.as<T>() + begin, args.up.as<T>() + begin,
               end - begin, args.dgate.as<T>() + begin, args.dup.as<T>() + begin);
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
