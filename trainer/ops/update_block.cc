#include "trainer/ops/update_block.h"

#include <algorithm>
#include <cmath>

#include "common/dtype.h"
#include "common/random.h"
#include "trainer/ops/dynamic_map.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/storage.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

TUNESMITH_VECTOR_CLONES void Widen(const Bf16* x, int64_t count, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = float(x[i]);
}

TUNESMITH_VECTOR_CLONES void Round(const float* x, int64_t count, Bf16* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = x[i];
}

TUNESMITH_VECTOR_CLONES void RoundStochastic(const float* x, int64_t count, uint64_t key,
                                             int64_t first, int shift, Bf16* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t random = RandomBits(key, static_cast<uint64_t>(first + i)) >> shift;
    y[i].bits = Bf16FromFloatStochastic(x[i], static_cast<uint16_t>(random));
  }
}

TUNESMITH_VECTOR_CLONES float LargestMagnitude(const float* x, int64_t count) {
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = std::abs(x[i]) > largest ? std::abs(x[i]) : largest;
  return largest;
}

TUNESMITH_VECTOR_CLONES void Decode(const uint8_t* codes, int64_t count, const float* map,
                                    float scale, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = map[codes[i]] * scale;
}

// Divided by the scale, not multiplied by its inverse, which may overflow.
TUNESMITH_VECTOR_CLONES void EncodeSigned(const float* x, int64_t count, float scale,
                                          uint8_t* codes) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i)
    codes[i] = NearestCode(kSignedMap.midpoints.data(), x[i] / scale);
}

TUNESMITH_VECTOR_CLONES void EncodeUnsigned(const float* x, int64_t count, float scale,
                                            uint8_t* codes) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i)
    codes[i] = NearestPositiveCode(kUnsignedMap.midpoints.data(), x[i] / scale);
}

void LoadCodes(const Tensor& codes, const Tensor& scale, const DynamicMap& map, BlockRange range,
               UpdateBlock& values) {
  Decode(codes.as<uint8_t>() + range.begin, range.count, map.values.data(),
         scale.as<float>()[range.begin / planner::kStateBlockSize], values.data());
}

// A block of zeros has no scale to divide by: any code times 0 is 0.
float StoreScale(const UpdateBlock& values, BlockRange range, const Tensor& scale) {
  const float largest = LargestMagnitude(values.data(), range.count);
  scale.as<float>()[range.begin / planner::kStateBlockSize] = largest;
  return largest > 0 ? largest : 1.0f;
}

}  // namespace

void LoadBlock(const Tensor& tensor, BlockRange range, UpdateBlock& values) {
  if (tensor.dtype == DType::kBF16)
    return Widen(tensor.as<Bf16>() + range.begin, range.count, values.data());
  std::copy_n(tensor.as<float>() + range.begin, range.count, values.data());
}

void StoreBlock(const UpdateBlock& values, BlockRange range, const Tensor& tensor) {
  if (tensor.dtype == DType::kBF16)
    return Round(values.data(), range.count, tensor.as<Bf16>() + range.begin);
  std::copy_n(values.data(), range.count, tensor.as<float>() + range.begin);
}

void StoreBlockStochastic(const UpdateBlock& values, BlockRange range, uint64_t key,
                          RandomSlice slice, const Tensor& tensor) {
  if (tensor.dtype != DType::kBF16) return StoreBlock(values, range, tensor);
  RoundStochastic(values.data(), range.count, key, range.element, 16 * static_cast<int>(slice),
                  tensor.as<Bf16>() + range.begin);
}

void StoreParameter(const UpdateBlock& values, BlockRange range, uint64_t key,
                    const Tensor& parameter, const Tensor& master) {
  if (master.data == nullptr)
    return StoreBlockStochastic(values, range, key, RandomSlice::kParameter, parameter);
  StoreBlock(values, range, master);
  StoreBlock(values, range, parameter);
}

uint64_t UpdateKey(const Tensor& step_key, uint64_t parameter_key, int64_t instance) {
  if (step_key.data == nullptr) return 0;
  return RandomKey(RandomKey(*step_key.as<uint64_t>(), parameter_key),
                   static_cast<uint64_t>(instance));
}

void ForEachBlock(ThreadPool& threads, int64_t count, int64_t first_element,
                  absl::FunctionRef<void(BlockRange range)> function) {
  static_assert(kElementGrain % planner::kStateBlockSize == 0);
  threads.ForRanges(count, kElementGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += planner::kStateBlockSize)
      function({.begin = i,
                .count = std::min(planner::kStateBlockSize, end - i),
                .element = first_element + i});
  });
}

void LoadSignedCodes(const Tensor& codes, const Tensor& scale, BlockRange range,
                     UpdateBlock& values) {
  LoadCodes(codes, scale, kSignedMap, range, values);
}

void LoadUnsignedCodes(const Tensor& codes, const Tensor& scale, BlockRange range,
                       UpdateBlock& values) {
  LoadCodes(codes, scale, kUnsignedMap, range, values);
}

void StoreSignedCodes(const UpdateBlock& values, BlockRange range, const Tensor& codes,
                      const Tensor& scale) {
  EncodeSigned(values.data(), range.count, StoreScale(values, range, scale),
               codes.as<uint8_t>() + range.begin);
}

void StoreUnsignedCodes(const UpdateBlock& values, BlockRange range, const Tensor& codes,
                        const Tensor& scale) {
  EncodeUnsigned(values.data(), range.count, StoreScale(values, range, scale),
                 codes.as<uint8_t>() + range.begin);
}

}  // namespace tunesmith::trainer::cpu
