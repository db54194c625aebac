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

}  // namespace

absl::Status SwiGlu(ThreadPool& threads, const SwiGluArgs& args) {
  return VisitStorage(OpKind::kSwiGlu, args.gate.dtype, [&](auto storage) {
    using S = decltype(storage);
    return VisitActivation(args.activation, [&](auto activation) {
      threads.ForRanges(args.gate.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
        Forward<activation()>(args.gate.as<S>() + begin, args.up.as<S>() + begin, end - begin,
                              args.y.as<S>() + begin);
      });
      return absl::OkStatus();
    });
  });
}

absl::Status SwiGluBackward(ThreadPool& threads, const SwiGluBackwardArgs& args) {
  return VisitStorage(OpKind::kSwiGluBackward, args.gate.dtype, [&](auto storage) {
    using S = decltype(storage);
    return VisitActivation(args.activation, [&](auto activation) {
      threads.ForRanges(args.gate.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
        Backward<activation()>(args.dy.as<S>() + begin, args.gate.as<S>() + begin,
                               args.up.as<S>() + begin, end - begin, args.dgate.as<S>() + begin,
                               args.dup.as<S>() + begin);
      });
      return absl::OkStatus();
    });
  });
}

}  // namespace tunesmith::trainer::cpu
