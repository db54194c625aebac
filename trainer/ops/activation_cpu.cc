#include "trainer/ops/activation_cpu.h"

#include "trainer/ops/activation_math.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

template <planner::Activation kActivation, typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void Forward(const S* x, int64_t count, S* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = Activate<kActivation>(T(x[i])).value;
}

template <planner::Activation kActivation, typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void Backward(const S* dy, const S* x, int64_t count, S* dx) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) dx[i] = T(dy[i]) * Activate<kActivation>(T(x[i])).slope;
}

}  // namespace

absl::Status ApplyActivation(ThreadPool& threads, const ActivationArgs& args) {
  return VisitStorage(OpKind::kActivation, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    return VisitActivation(args.activation, [&](auto activation) {
      threads.ForRanges(args.x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
        Forward<activation()>(args.x.as<S>() + begin, end - begin, args.y.as<S>() + begin);
      });
      return absl::OkStatus();
    });
  });
}

absl::Status ActivationBackward(ThreadPool& threads, const ActivationBackwardArgs& args) {
  return VisitStorage(OpKind::kActivationBackward, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    return VisitActivation(args.activation, [&](auto activation) {
      threads.ForRanges(args.x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
        Backward<activation()>(args.dy.as<S>() + begin, args.x.as<S>() + begin, end - begin,
                               args.dx.as<S>() + begin);
      });
      return absl::OkStatus();
    });
  });
}

}  // namespace tunesmith::trainer::cpu
