#include <vector>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/rope_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// By value in the kernel's parameters: 1 KiB of the 4 KiB that every device takes.
struct Frequencies {
  float values[kMaxRopeHeadSize / 2];
};

Frequencies FrequenciesOf(const RopeArgs& args) {
  Frequencies frequencies{};
  const std::vector<double> values = RopeFrequencies(args);
  for (size_t i = 0; i < values.size(); ++i) {
    frequencies.values[i] = static_cast<float>(values[i]);
  }
  return frequencies;
}

// One thread per pair of elements. `direction` is 1, or -1 for the backward rotation.
template <typename T>
__global__ void RotateKernel(int64_t pair_count, int64_t head_count, int64_t head_size,
                             int64_t half, T* x, const int32_t* positions, Frequencies frequencies,
                             float amplitude, float direction) {
  const int64_t pair = GlobalThread();
  if (pair >= pair_count) return;
  const int64_t i = pair % half;
  const int64_t head_row = pair / half;  // token * head_count + head
  const float angle = static_cast<float>(positions[head_row / head_count]) * frequencies.values[i];
  float sine, cosine;
  sincosf(angle, &sine, &cosine);
  sine *= direction * amplitude;
  cosine *= amplitude;
  T* const low = x + head_row * head_size + i;
  T* const high = low + half;
  const float a = ToFloat(*low);
  const float b = ToFloat(*high);
  *low = FromFloat<T>(a * cosine - b * sine);
  *high = FromFloat<T>(b * cosine + a * sine);
}

absl::Status Rotate(CudaContext& cuda, const RopeArgs& args, float direction) {
  const int64_t pair_count = args.x.dims[0] * args.head_count * (args.rotary_size / 2);
  if (pair_count == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(RotateKernel<T>, {BlockCount(pair_count)}, cuda.impl().stream.get(),
                        pair_count, args.head_count, args.head_size, args.rotary_size / 2,
                        args.x.as<T>(), args.positions.as<const int32_t>(), FrequenciesOf(args),
                        static_cast<float>(RopeAmplitude(args)), direction);
  });
}

}  // namespace

absl::Status Rope(CudaContext& cuda, const RopeArgs& args) { return Rotate(cuda, args, 1.0f); }
absl::Status RopeBackward(CudaContext& cuda, const RopeArgs& args) {
  return Rotate(cuda, args, -1.0f);
}

}  // namespace tunesmith::trainer::cuda
