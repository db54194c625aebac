#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/decode_cuda.h"
#include "trainer/ops/score_change.cuh"

namespace tunesmith::trainer::cuda {
namespace {

// Nothing is written where the position lies outside the cache.
template <typename T>
__global__ void AppendKernel(int64_t width, int64_t context, const T* x, const int32_t* positions,
                             T* cache) {
  const int64_t position = positions[0];
  const int64_t c = GlobalThread();
  if (c >= width || position < 0 || position >= context) return;
  cache[position * width + c] = x[c];
}

struct DecodeDims {
  int64_t context, group, head_size, kv_width, window;
  float scale;
  ScoreChange change;
};

// One block per query head. Each warp takes every 8th key for the scores; then each thread sums
// some elements of o over the keys.
template <typename T>
__global__ void DecodeKernel(DecodeDims d, const T* q, const T* k_cache, const T* v_cache,
                             const int32_t* positions, T* o, float* scores) {
  const int64_t head = blockIdx.x;
  const int64_t kv_offset = head / d.group * d.head_size;
  const int64_t last = positions[0];
  const int64_t first = d.window > 0 && last >= d.window ? last - d.window + 1 : 0;
  const T* const query = q + head * d.head_size;
  float* const row = scores + head * d.context;
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  for (int64_t j = first + warp; j <= last; j += kBlockSize / kWarpSize) {
    const T* const key = k_cache + j * d.kv_width + kv_offset;
    float dot = 0.0f;
    for (int64_t e = lane; e < d.head_size; e += kWarpSize)
      dot += ToFloat(query[e]) * ToFloat(key[e]);
    for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
      dot += __shfl_xor_sync(0xffffffffu, dot, offset);
    if (lane == 0) row[j] = d.change.Apply(dot * d.scale, head, last - j).score;
  }
  __syncthreads();
  float maximum = -INFINITY;
  for (int64_t j = first + threadIdx.x; j <= last; j += blockDim.x)
    maximum = fmaxf(maximum, row[j]);
  maximum = BlockMax(maximum);
  float sum = 0.0f;
  for (int64_t j = first + threadIdx.x; j <= last; j += blockDim.x) {
    row[j] = expf(row[j] - maximum);
    sum += row[j];
  }
  sum = BlockSum(sum);  // its barriers order the writes to row before the reads below
  for (int64_t e = threadIdx.x; e < d.head_size; e += blockDim.x) {
    float value = 0.0f;
    for (int64_t j = first; j <= last; ++j)
      value += row[j] * ToFloat(v_cache[j * d.kv_width + kv_offset + e]);
    o[head * d.head_size + e] = FromFloat<T>(value / sum);
  }
}

// The larger value; of equal ones the lower index.
struct Candidate {
  float value;
  int index;
};
__device__ Candidate Better(Candidate a, Candidate b) {
  if (a.value > b.value) return a;
  if (b.value > a.value) return b;
  return a.index <= b.index ? a : b;
}

__device__ Candidate BestOfWarp(Candidate best) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    const Candidate other = {__shfl_xor_sync(kAllLanes, best.value, offset),
                             __shfl_xor_sync(kAllLanes, best.index, offset)};
    best = Better(best, other);
  }
  return best;
}

struct Candidates {
  Candidate values[kMaxWarpCount];
};

constexpr int kArgMaxThreads = 1024;  // there are few rows, often one
constexpr int kArgMaxLoads = 4;       // packs that a thread loads before it uses the first

// One block per row.
template <typename T, int N>
__global__ void __launch_bounds__(kArgMaxThreads)
    ArgMaxKernel(int pack_count, const Pack<T, N>* logits, int32_t* token) {
  auto& candidates = Shared<Candidates>().values;
  const Pack<T, N>* const row = logits + static_cast<int64_t>(blockIdx.x) * pack_count;
  Candidate best = {-INFINITY, pack_count * N};
  for (int first = threadIdx.x; first < pack_count; first += kArgMaxLoads * kArgMaxThreads) {
    Pack<T, N> packs[kArgMaxLoads];
#pragma unroll
    for (int l = 0; l < kArgMaxLoads; ++l) {
      if (first + l * kArgMaxThreads < pack_count) packs[l] = row[first + l * kArgMaxThreads];
    }
#pragma unroll
    for (int l = 0; l < kArgMaxLoads; ++l) {
      const int i = first + l * kArgMaxThreads;
      if (i >= pack_count) break;
      for (int j = 0; j < N; ++j) best = Better(best, {ToFloat(packs[l].values[j]), i * N + j});
    }
  }
  best = BestOfWarp(best);
  if (threadIdx.x % kWarpSize == 0) candidates[threadIdx.x / kWarpSize] = best;
  __syncthreads();
  if (threadIdx.x >= kWarpSize) return;
  best = BestOfWarp(candidates[threadIdx.x]);
  if (threadIdx.x == 0) token[blockIdx.x] = best.index;
}

}  // namespace

absl::Status CacheAppend(CudaContext& cuda, const CacheAppendArgs& args) {
  const int64_t width = args.cache.dims[1];
  if (args.cache.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.cache.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(AppendKernel<T>, {BlockCount(width)}, cuda.impl().stream.get(), width,
                        args.cache.dims[0], args.x.as<const T>(),
                        args.positions.as<const int32_t>(), args.cache.as<T>());
  });
}

absl::Status DecodeAttention(CudaContext& cuda, const DecodeAttentionArgs& args) {
  if (args.q.element_count() == 0) return absl::OkStatus();
  const AttentionShape& shape = args.shape;
  const DecodeDims d = {.context = args.k_cache.dims[0],
                        .group = shape.head_count / shape.kv_head_count,
                        .head_size = shape.head_size,
                        .kv_width = shape.kv_head_count * shape.head_size,
                        .window = shape.window,
                        .scale = static_cast<float>(shape.scale),
                        .change = ScoreChangeOf(shape)};
  return VisitFloat(args.q.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(
        DecodeKernel<T>, {BlockCount(shape.head_count, 1)}, cuda.impl().stream.get(), d,
        args.q.as<const T>(), args.k_cache.as<const T>(), args.v_cache.as<const T>(),
        args.positions.as<const int32_t>(), args.o.as<T>(), args.scores.as<float>());
  });
}

absl::Status ArgMax(CudaContext& cuda, const ArgMaxArgs& args) {
  if (args.token.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.logits.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(args.logits.dims[1], {args.logits.data}, [&](auto pack) {
      const LaunchShape shape = {BlockCount(args.logits.dims[0], 1), dim3(kArgMaxThreads)};
      return LaunchKernel(ArgMaxKernel<T, pack.value>, shape, cuda.impl().stream.get(),
                          static_cast<int>(args.logits.dims[1] / pack.value),
                          args.logits.as<const Pack<T, pack.value>>(), args.token.as<int32_t>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
