#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/dequantize_nf4_cuda.h"
#include "trainer/ops/nf4.h"

namespace tunesmith::trainer::cuda {
namespace {

__constant__ DynamicMap absmax_map = MakeDynamicMap(true);
__constant__ std::array<float, 16> nf4_values = kNf4Values;

// How a block's magnitude is stored.
struct Magnitudes {
  const float* plain;  // null with double quantization
  const uint8_t* codes;
  const float* scales;
  const float* offset;
};

// A block's magnitude as it was loaded.
struct LoadedMagnitude {
  float scale, offset;
  uint8_t code;
};

__device__ LoadedMagnitude LoadMagnitude(const Magnitudes& m, int64_t block) {
  if (m.plain != nullptr) return {m.plain[block], 0.0f, 0};
  return {m.scales[block / planner::kNf4ScaleBlockSize], *m.offset, m.codes[block]};
}
__device__ float ValueOf(const Magnitudes& m, const LoadedMagnitude& magnitude) {
  if (m.plain != nullptr) return magnitude.scale;
  return absmax_map.values.data()[magnitude.code] * magnitude.scale + magnitude.offset;
}

struct SharedValues {
  float values[16];
};

constexpr int kLoads = 4;  // packs of a thread

// N consecutive elements to a pack, which lie in one block. The values are looked up in shared memory, where each has a bank of its own: constant memory
// would give the lanes their different words one after the other.
template <typename T, int N>
__global__ void DequantizeKernel(int64_t pack_count, const Pack<uint8_t, N / 2>* codes,
                                 Magnitudes magnitudes, Pack<T, N>* y) {
  auto& values = Shared<SharedValues>().values;
  Pack<uint8_t, N / 2> packs[kLoads];
  LoadedMagnitude loaded[kLoads];
  ForThreadPacks<kLoads>(pack_count, [&](int l, int64_t i) {
    packs[l] = codes[i];
    loaded[l] = LoadMagnitude(magnitudes, i * N / planner::kNf4BlockSize);
  });
  if (threadIdx.x < 16) values[threadIdx.x] = nf4_values.data()[threadIdx.x];
  __syncthreads();
  ForThreadPacks<kLoads>(pack_count, [&](int l, int64_t i) {
    const float magnitude = ValueOf(magnitudes, loaded[l]);
    Pack<T, N> out;
    for (int j = 0; j < N / 2; ++j) {
      out.values[2 * j] = FromFloat<T>(values[packs[l].values[j] >> 4] * magnitude);
      out.values[2 * j + 1] = FromFloat<T>(values[packs[l].values[j] & 15] * magnitude);
    }
    y[i] = out;
  });
}

template <typename T, int N>
absl::Status Launch(const DequantizeNf4Args& args, cudaStream_t stream) {
  const bool plain = args.absmax.dtype == DType::kF32;
  const Magnitudes magnitudes{plain ? args.absmax.as<const float>() : nullptr,
                              plain ? nullptr : args.absmax.as<const uint8_t>(),
                              args.absmax_scale.as<const float>(),
                              args.absmax_offset.as<const float>()};
  const int64_t pack_count = args.y.element_count() / N;
  return LaunchKernel(DequantizeKernel<T, N>, {BlockCount(pack_count, kLoads * kBlockSize)}, stream,
                      pack_count, args.codes.as<const Pack<uint8_t, N / 2>>(), magnitudes,
                      args.y.as<Pack<T, N>>());
}

}  // namespace

absl::Status DequantizeNf4(CudaContext& cuda, const DequantizeNf4Args& args) {
  const int64_t count = args.y.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kPack = 16 / sizeof(T);
    if (CanPack<T, kPack>(count, {args.y.data}) &&
        CanPack<uint8_t, kPack / 2>(count / 2, {args.codes.data}))
      return Launch<T, kPack>(args, stream);
    return Launch<T, 2>(args, stream);
  });
}

}  // namespace tunesmith::trainer::cuda
