#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "absl/status/status.h"
#include "common/dtype.h"
#include "trainer/cuda/intrinsics.cuh"
#include "trainer/cuda/status.h"
#include "trainer/ops/op_call.h"

// What the kernels share: element types, packs of elements, sums over a block, launches.
namespace tunesmith::trainer {

using Bf16 = __nv_bfloat16;

inline constexpr int kWarpSize = 32;
// Threads of a block unless a kernel says otherwise; a multiple of the warp size, at most 1024.
inline constexpr int kBlockSize = 256;

__device__ inline float ToFloat(float value) { return value; }
__device__ inline float ToFloat(Bf16 value) { return __bfloat162float(value); }

// Rounds to nearest even.
template <typename T>
__device__ T FromFloat(float value);
template <>
__device__ inline float FromFloat<float>(float value) {
  return value;
}
template <>
__device__ inline Bf16 FromFloat<Bf16>(float value) {
  return __float2bfloat16_rn(value);
}

// N consecutive elements, loaded and stored at once where N * sizeof(T) is at most 16.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T values[N];
};

// A pack as it was loaded, two elements of bf16 to a register: in a Pack the compiler gives each a register of its own.
template <typename T, int N>
class LoadedPack {
 public:
  LoadedPack() = default;
  __device__ explicit LoadedPack(const Pack<T, N>& pack) : words_(std::bit_cast<Words>(pack)) {}

  __device__ Pack<T, N> Unpacked() const { return std::bit_cast<Pack<T, N>>(words_); }
  // The compiler may not keep what was unpacked before beyond this.
  __device__ void Forget() {
    if constexpr (kIsWords) {
      for (uint32_t& word : words_.values) MakeOpaque(word);
    }
  }

 private:
  static constexpr int kWordCount = sizeof(Pack<T, N>) / sizeof(uint32_t);
  static constexpr bool kIsWords = kWordCount > 0;
  using Words = std::conditional_t<kIsWords, Pack<uint32_t, kIsWords ? kWordCount : 1>, Pack<T, N>>;
  Words words_;
};

struct SumOf {
  template <typename V>
  __device__ V operator()(V a, V b) const {
    return a + b;
  }
};
struct MaxOf {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

inline constexpr unsigned int kAllLanes = 0xffffffffu;
inline constexpr int kMaxWarpCount = 32;  // of a block

template <typename V>
struct WarpValues {
  V values[kMaxWarpCount];
};

// Combines `value` over the lanes of a warp; every lane gets the result.
template <typename V, typename Combine>
__device__ V WarpReduce(V value, Combine combine) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// Combines `value` over all threads of a block of whole warps, in a fixed order; every thread gets
// the result. `identity` is that of `combine`. All threads must call it; it ends with a barrier, so
// that it may be called again.
template <typename V, typename Combine>
__device__ V BlockReduce(V value, V identity, Combine combine) {
  auto& warp_values = Shared<WarpValues<V>>().values;
  const int warp_count = blockDim.x / kWarpSize;
  value = WarpReduce(value, combine);
  if (threadIdx.x % kWarpSize == 0) warp_values[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  V result = identity;
  for (int i = 0; i < warp_count; ++i) result = combine(result, warp_values[i]);
  __syncthreads();
  return result;
}

template <typename V>
__device__ V BlockSum(V value) {
  return BlockReduce(value, V(0), SumOf());
}
__device__ inline float BlockMax(float value) { return BlockReduce(value, -INFINITY, MaxOf()); }

// Blocks of `block_size` threads that cover `count` items.
inline unsigned int BlockCount(int64_t count, int64_t block_size = kBlockSize) {
  return static_cast<unsigned int>((count + block_size - 1) / block_size);
}

// The index of this thread in a one-dimensional grid.
__device__ inline int64_t GlobalThread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// f(l, i) for this thread's packs i among `count`, of which each thread of the grid has kLoads. With a call that loads them all and another that uses them, so many
// are under way at once: 32 to 64 bytes a thread keep a large GPU's memory busy.
template <int kLoads, typename F>
__device__ void ForThreadPacks(int64_t count, F f) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kLoads * kBlockSize + threadIdx.x;
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    const int64_t i = first + l * kBlockSize;
    if (i < count) f(l, i);
  }
}

struct LaunchShape {
  dim3 grid;
  dim3 block = dim3(kBlockSize);
  int64_t shared_bytes = 0;
};

// Puts a kernel on a stream. The status is that of its configuration alone; what the kernel does wrong shows at the next synchronization. A
// function, and not CUDA's brackets, so that every C++ compiler can read it.
template <typename... Parameters, typename... Arguments>
absl::Status LaunchKernel(void (*kernel)(Parameters...), const LaunchShape& shape,
                          cudaStream_t stream, Arguments... arguments) {
  // Every kernel may have 48 KiB unasked, with its objects of static size, which are few.
  constexpr int64_t kSharedBytesUnasked = 32 << 10;
  if (shape.shared_bytes > kSharedBytesUnasked) {
    CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shape.shared_bytes)));
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = stream;
  CUDA_RETURN_IF_ERROR(cudaLaunchKernelEx(&config, kernel, arguments...));
  return absl::OkStatus();
}

// visitor(T()) with the element type of `dtype`: float or Bf16. UNIMPLEMENTED for the others.
template <typename Visitor>
absl::Status VisitFloat(DType dtype, Visitor visitor) {
  switch (dtype) {
    case DType::kF32:
      return visitor(float());
    case DType::kBF16:
      return visitor(Bf16());
    default:
      return UnsupportedDType(dtype);
  }
}

// Whether `count` elements at each address may be taken as Pack<T, N>: every address aligned, no
// remainder.
template <typename T, int N>
bool CanPack(int64_t count, std::initializer_list<const void*> addresses) {
  if (count % N != 0) return false;
  for (const void* address : addresses) {
    if (reinterpret_cast<intptr_t>(address) % static_cast<int64_t>(sizeof(Pack<T, N>)) != 0)
      return false;
  }
  return true;
}

// visitor(std::integral_constant<int, N>()), N elements being 16 bytes where `count` elements at each address may be taken so, else one element.
template <typename T, typename Visitor>
absl::Status VisitPacks(int64_t count, std::initializer_list<const void*> addresses,
                        Visitor visitor) {
  constexpr int kPack = 16 / sizeof(T);
  if (CanPack<T, kPack>(count, addresses)) return visitor(std::integral_constant<int, kPack>());
  return visitor(std::integral_constant<int, 1>());
}

}  // namespace tunesmith::trainer
