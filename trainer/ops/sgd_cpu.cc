#include "trainer/ops/sgd_cpu.h"

#include <cstring>

#include "planner/program/op.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/scalar.h"
#include "trainer/ops/update_block.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

// p = decay * p - step * gradient.
template <typename T>
struct Update {
  T decay, step;
};

template <typename T>
Update<T> MakeUpdate(const SgdArgs& args) {
  const double learning_rate = ReadScalar(args.step_scalars, planner::kLearningRate);
  const double weight_decay = ReadScalar(args.step_scalars, planner::kWeightDecay);
  return {.decay = static_cast<T>(args.decays ? 1 - learning_rate * weight_decay : 1.0),
          .step = static_cast<T>(learning_rate * ReadScalar(args.clip_factor))};
}

template <typename T>
TUNESMITH_VECTOR_CLONES void UpdateElements(const Update<T>& u, const T* gradient, int64_t count,
                                            T* parameter) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) parameter[i] = u.decay * parameter[i] - u.step * gradient[i];
}

// Everything is stored as it is computed with: one pass where it lies.
template <typename T>
void UpdateInPlace(ThreadPool& threads, const SgdArgs& args) {
  const Update<T> update = MakeUpdate<T>(args);
  const bool has_master = args.master.data != nullptr;
  T* source = has_master ? args.master.as<T>() : args.parameter.as<T>();
  threads.ForRanges(args.parameter.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
    UpdateElements(update, args.gradient.as<T>() + begin, end - begin, source + begin);
    if (has_master) {
      std::memcpy(args.parameter.as<T>() + begin, source + begin, (end - begin) * sizeof(T));
    }
  });
}

// A block is widened, updated and stored again.
void UpdateOneBlock(const Update<float>& update, const SgdArgs& args, uint64_t key,
                    BlockRange range) {
  UpdateBlock gradient, parameter;
  LoadBlock(args.gradient, range, gradient);
  LoadBlock(args.master.data != nullptr ? args.master : args.parameter, range, parameter);
  UpdateElements(update, gradient.data(), range.count, parameter.data());
  StoreParameter(parameter, range, key, args.parameter, args.master);
}

}  // namespace

absl::Status Sgd(ThreadPool& threads, const SgdArgs& args) {
  const DType dtype = args.parameter.dtype;
  if (dtype == DType::kF64) {
    UpdateInPlace<double>(threads, args);
  } else if (dtype == DType::kF32 && args.gradient.dtype == dtype) {
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
