#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <tuple>

#include "tests/gpu/emulation/block.h"

// What a kernel sees of CUDA, for g++.

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned int x, y, z;
};
struct dim3 {
  unsigned int x = 1, y = 1, z = 1;
  constexpr dim3(unsigned int x_count = 1, unsigned int y_count = 1, unsigned int z_count = 1)
      : x(x_count), y(y_count), z(z_count) {}
};
struct alignas(8) uint2 {
  unsigned int x, y;
};
struct alignas(16) uint4 {
  unsigned int x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// Of the thread that runs.
inline uint3 threadIdx;
inline uint3 blockIdx;
inline dim3 blockDim;
inline dim3 gridDim;

struct cudaLaunchConfig_t {
  dim3 gridDim = {};
  dim3 blockDim = {};
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned int numAttrs = 0;
};

namespace tunesmith::emulation {

using Site = std::source_location;

cudaError_t LaunchGrid(const cudaLaunchConfig_t& config, const void* kernel,
                       std::function<void()> body);
cudaError_t SetSharedBytes(const void* kernel, int64_t bytes);

}  // namespace tunesmith::emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return tunesmith::emulation::LaunchGrid(
      *config, reinterpret_cast<const void*>(kernel),
      [kernel, values = std::tuple<Parameters...>(arguments...)] { std::apply(kernel, values); });
}

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  // Of what shared memory takes from the cache nothing shows here.
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  return tunesmith::emulation::SetSharedBytes(reinterpret_cast<const void*>(kernel), value);
}

// ---- Barriers and exchanges ---------------------------------------------------------------------

inline void __syncthreads(tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  tunesmith::emulation::BlockBarrier("__syncthreads", false, site);
}
inline int __syncthreads_count(
    int predicate, tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  return tunesmith::emulation::BlockBarrier("__syncthreads_count", predicate != 0, site);
}
inline int __syncthreads_or(
    int predicate, tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  return tunesmith::emulation::BlockBarrier("__syncthreads_or", predicate != 0, site) > 0;
}
inline void __syncwarp(unsigned int mask = 0xffffffffu,
                       tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  tunesmith::emulation::Meet("__syncwarp", mask, nullptr, nullptr, site);
}

namespace tunesmith::emulation {

template <typename T>
struct Exchange {
  T value;
  int source;
  T result;
};

template <typename T>
void CompleteExchange(void* const* lanes, uint32_t mask) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    auto* const mine = static_cast<Exchange<T>*>(lanes[lane]);
    if ((mask >> mine->source & 1u) == 0) {
      Fail("a shuffle reads a lane that its mask does not name");
    } else {
      mine->result = static_cast<Exchange<T>*>(lanes[mine->source])->value;
    }
  }
}

template <typename T>
T Shuffle(const char* name, unsigned int mask, T value, int source, Site site) {
  Exchange<T> exchange = {value, source, value};
  Meet(name, mask, &exchange, CompleteExchange<T>, site);
  return exchange.result;
}

}  // namespace tunesmith::emulation

template <typename T>
T __shfl_xor_sync(unsigned int mask, T value, int lane_mask,
                  tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  return tunesmith::emulation::Shuffle("__shfl_xor_sync", mask, value,
                                       tunesmith::emulation::Lane() ^ lane_mask, site);
}
template <typename T>
T __shfl_sync(unsigned int mask, T value, int source,
              tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  return tunesmith::emulation::Shuffle("__shfl_sync", mask, value, source & 31, site);
}
template <typename T>
T __shfl_down_sync(unsigned int mask, T value, int delta,
                   tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  const int lane = tunesmith::emulation::Lane();
  return tunesmith::emulation::Shuffle("__shfl_down_sync", mask, value,
                                       lane + delta < 32 ? lane + delta : lane, site);
}
unsigned int __ballot_sync(unsigned int mask, int predicate,
                           tunesmith::emulation::Site site = tunesmith::emulation::Site::current());
inline int __any_sync(unsigned int mask, int predicate,
                      tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned int mask, int predicate,
                      tunesmith::emulation::Site site = tunesmith::emulation::Site::current()) {
  return __ballot_sync(mask, predicate, site) == mask;
}

// One thread of the process runs all threads of a grid, so that a plain sum is atomic.
template <typename T>
T atomicAdd(T* target, T value) {
  const T old = *target;
  *target = old + value;
  return old;
}

// ---- Arithmetic ---------------------------------------------------------------------------------

inline int min(int a, int b) { return std::min(a, b); }
inline int max(int a, int b) { return std::max(a, b); }
inline int64_t min(int64_t a, int64_t b) { return std::min(a, b); }
inline int64_t max(int64_t a, int64_t b) { return std::max(a, b); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp(x); }
inline int __popc(unsigned int x) { return std::popcount(x); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned int>(x)) + 1; }
inline unsigned int __float_as_uint(float x) { return std::bit_cast<unsigned int>(x); }
inline float __uint_as_float(unsigned int x) { return std::bit_cast<float>(x); }
