#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/random.h"
#include "trainer/cuda/kernel.cuh"

// What the optimizer kernels share: the same random bits as on the CPU, and parameters with or without a master copy.
namespace tunesmith::trainer::cuda {

// Keys the random bits of a parameter in this step; step_key is null where nothing is rounded stochastically.
struct UpdateKey {
  const uint64_t* step_key;
  uint64_t parameter_key;
  uint64_t instance;
  int64_t first_element;
};

// The bits of any of the parameter's elements; the key is made once for each thread.
class ElementBits {
 public:
  __device__ explicit ElementBits(const UpdateKey& k) : first_element_(k.first_element) {
    if (k.step_key == nullptr) return;
    exist_ = true;
    key_ = RandomKey(RandomKey(*k.step_key, k.parameter_key), k.instance);
  }
  __device__ uint64_t Of(int64_t element) const {
    return exist_ ? RandomBits(key_, static_cast<uint64_t>(first_element_ + element)) : 0;
  }

 private:
  bool exist_ = false;
  uint64_t key_ = 0;
  int64_t first_element_;
};

template <typename Args>
UpdateKey KeyOf(const Args& args) {
  return {args.step_key.template as<const uint64_t>(), args.parameter_key,
          static_cast<uint64_t>(args.instance), args.first_element};
}

// Which of an element's random bits a store uses; as cpu::RandomSlice.
enum RandomShift { kParameterShift = 0, kMoment1Shift = 16, kMoment2Shift = 32 };

template <typename T>
__device__ T RoundStochastic(float value, uint64_t random);
template <>
__device__ inline float RoundStochastic<float>(float value, uint64_t) {
  return value;
}
template <>
__device__ inline Bf16 RoundStochastic<Bf16>(float value, uint64_t random) {
  return __ushort_as_bfloat16(Bf16FromFloatStochastic(value, static_cast<uint16_t>(random)));
}

// Pack i of the parameters as an update takes them: of their master copy, where there is one.
template <typename P, int N>
__device__ Pack<float, N> ParametersAt(const Pack<float, N>* master, const Pack<P, N>* parameters,
                                       int64_t i) {
  if (master != nullptr) return master[i];
  const Pack<P, N> own = parameters[i];
  Pack<float, N> values;
  for (int j = 0; j < N; ++j) values.values[j] = ToFloat(own.values[j]);
  return values;
}

// A parameter as it is stored: beside a master copy rounded to nearest, else stochastically.
template <typename P>
__device__ P StoredParameter(float value, bool has_master, uint64_t random) {
  return has_master ? FromFloat<P>(value) : RoundStochastic<P>(value, random >> kParameterShift);
}

}  // namespace tunesmith::trainer::cuda
