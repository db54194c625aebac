#include "trainer/ops/adamw_cpu.h"

#include <cmath>
#include <cstring>

#include "planner/program/op.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/scalar.h"
#include "trainer/ops/update_block.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

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

// Everything is stored as it is computed with: one pass where it lies.
template <typename T>
void UpdateInPlace(ThreadPool& threads, const AdamWArgs& args) {
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
}

// A block is widened, updated and stored again.
void UpdateOneBlock(const Update<float>& update, const AdamWArgs& args, uint64_t key,
                    BlockRange range) {
  const bool coded = args.moment1.dtype == DType::kU8, has_master = args.master.data != nullptr;
  UpdateBlock gradient, parameter, moment1, moment2;
  LoadBlock(args.gradient, range, gradient);
  LoadBlock(has_master ? args.master : args.parameter, range, parameter);
  if (coded) {
    LoadSignedCodes(args.moment1, args.moment1_scale, range, moment1);
    LoadUnsignedCodes(args.moment2, args.moment2_scale, range, moment2);
  } else {
    LoadBlock(args.moment1, range, moment1);
    LoadBlock(args.moment2, range, moment2);
  }
  UpdateElements(update, gradient.data(), range.count, parameter.data(), moment1.data(),
                 moment2.data());
  StoreParameter(parameter, range, key, args.parameter, args.master);
  if (coded) {
    StoreSignedCodes(moment1, range, args.moment1, args.moment1_scale);
    StoreUnsignedCodes(moment2, range, args.moment2, args.moment2_scale);
  } else {
    StoreBlockStochastic(moment1, range, key, RandomSlice::kMoment1, args.moment1);
    StoreBlockStochastic(moment2, range, key, RandomSlice::kMoment2, args.moment2);
  }
}

bool IsPlain(const AdamWArgs& args) {
  const DType dtype = args.parameter.dtype;
  return dtype != DType::kBF16 && args.gradient.dtype == dtype && args.moment1.dtype == dtype;
}

}  // namespace

absl::Status AdamW(ThreadPool& threads, const AdamWArgs& args) {
  if (args.parameter.dtype == DType::kF64) {
    UpdateInPlace<double>(threads, args);
  } else if (IsPlain(args)) {
    UpdateInPlace<float>(threads, args);
  } else {
    const Update<float> update = MakeUpdate<float>(args);
    const uint64_t key = UpdateKey(args.step_key, args.parameter_key, args.instance);
    ForEachBlock(threads, args.parameter.element_count(), args.first_element,
                 [&](BlockRange range) { UpdateOneBlock(update, args, key, range); });
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer::cpu
