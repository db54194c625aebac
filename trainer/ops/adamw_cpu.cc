#include "trainer/ops/adamw_cpu.h"

#include <cmath>
#include <cstring>

#include "planner/program/op.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/scalar.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// The update's constants, so that an element costs one division and one square root:
//   p = decay * p - step * m / (sqrt(v) * v_scale + epsilon).
template <typename T>
struct Update {
  T beta1, beta2, one_minus_beta1, one_minus_beta2;
  T clip, decay, step, v_scale, epsilon;
};

template <typename T>
Update<T> MakeUpdate(const AdamWArgs& args) {
  const auto scalar = [&](planner::StepScalar which) {
    return ReadScalar(args.step_scalars, which);
  };
  const double learning_rate = scalar(planner::kLearningRate);
  const double decay = args.decays ? 1 - learning_rate * scalar(planner::kWeightDecay) : 1.0;
  return {
      .beta1 = static_cast<T>(scalar(planner::kBeta1)),
      .beta2 = static_cast<T>(scalar(planner::kBeta2)),
      .one_minus_beta1 = static_cast<T>(1 - scalar(planner::kBeta1)),
      .one_minus_beta2 = static_cast<T>(1 - scalar(planner::kBeta2)),
      .clip = static_cast<T>(ReadScalar(args.clip_factor)),
      .decay = static_cast<T>(decay),
      .step = static_cast<T>(learning_rate / scalar(planner::kBiasCorrection1)),
      .v_scale = static_cast<T>(1 / std::sqrt(scalar(planner::kBiasCorrection2))),
      .epsilon = static_cast<T>(scalar(planner::kEpsilon)),
  };
}

template <typename T>
TUNESMITH_VECTOR_CLONES void UpdateElements(const Update<T>& u, const T* gradient, int64_t count,
                                            T* parameter, T* moment1, T* moment2) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * u.clip;
    const T m = u.beta1 * moment1[i] + u.one_minus_beta1 * g;
    const T v = u.beta2 * moment2[i] + u.one_minus_beta2 * g * g;
    moment1[i] = m;
    moment2[i] = v;
    parameter[i] = u.decay * parameter[i] - u.step * m / (std::sqrt(v) * u.v_scale + u.epsilon);
  }
}

}  // namespace

absl::Status AdamW(ThreadPool& threads, const AdamWArgs& args) {
  return VisitComputeType(OpKind::kAdamW, args.parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Update<T> update = MakeUpdate<T>(args);
    const bool has_master = args.master.data != nullptr;
    T* source = has_master ? args.master.as<T>() : args.parameter.as<T>();
    const int64_t count = args.parameter.element_count();
    threads.ForRanges(count, kElementGrain, [&](int64_t begin, int64_t end) {
      UpdateElements(update, args.gradient.as<T>() + begin, end - begin, source + begin,
                     args.moment1.as<T>() + begin, args.moment2.as<T>() + begin);
      if (has_master) {
        std::memcpy(args.parameter.as<T>() + begin, source + begin, (end - begin) * sizeof(T));
      }
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
