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
  int key_threads;  // of each key: a power of two within a warp, that is all of the head's packs or as many as a warp has lanes
};

// What the block's threads make of the keys [first, last] of one query head.
template <typename T, int N>
class DecodeHead {
 public:
  __device__ DecodeHead(const DecodeDims& d, int64_t last)
      : d_(d),
        first_(d.window > 0 && last >= d.window ? last - d.window + 1 : 0),
        last_(last),
        packs_(static_cast<int>(d.head_size) / N),
        lane_(threadIdx.x % d.key_threads),
        key_(threadIdx.x / d.key_threads),
        keys_at_once_(blockDim.x / d.key_threads) {}

  // row[j] = the score of key j. All threads must call it: sums go over lanes.
  __device__ void Score(const Pack<T, N>* query, const Pack<T, N>* keys, float* row) const {
#pragma unroll 4
    for (int64_t begin = first_; begin <= last_; begin += keys_at_once_) {
      const int64_t j = begin + key_;
      float dot = 0.0f;
      if (j <= last_) dot = Dot(query, keys + j * (d_.kv_width / N));
      for (int offset = d_.key_threads / 2; offset > 0; offset /= 2)
        dot += __shfl_xor_sync(kAllLanes, dot, offset);
      if (j <= last_ && lane_ == 0)
        row[j] = d_.change.Apply(dot * d_.scale, blockIdx.x, last_ - j).score;
    }
  }

  // row = e^(row - its maximum); returns the sum.
  __device__ float Exponentiate(float* row) const {
    float maximum = -INFINITY;
    for (int64_t j = first_ + threadIdx.x; j <= last_; j += blockDim.x)
      maximum = fmaxf(maximum, row[j]);
    maximum = BlockMax(maximum);
    float sum = 0.0f;
    for (int64_t j = first_ + threadIdx.x; j <= last_; j += blockDim.x) {
      row[j] = expf(row[j] - maximum);
      sum += row[j];
    }
    return BlockSum(sum);  // its barriers order the writes to row before others' reads
  }

  // partials[k][e] = the sum over every keys_at_once-th key from the k-th on of row[j] * values[j][e].
  __device__ void Weigh(const float* row, const Pack<T, N>* values, float* partials) const {
    for (int p = lane_; p < packs_; p += d_.key_threads) {
      float sums[N] = {};
#pragma unroll 4
      for (int64_t j = first_ + key_; j <= last_; j += keys_at_once_) {
        const Pack<T, N> value = values[j * (d_.kv_width / N) + p];
        for (int e = 0; e < N; ++e) sums[e] += row[j] * ToFloat(value.values[e]);
      }
      for (int e = 0; e < N; ++e) partials[key_ * d_.head_size + p * N + e] = sums[e];
    }
  }

  __device__ void Store(const float* partials, float sum, T* o) const {
    for (int64_t e = threadIdx.x; e < d_.head_size; e += blockDim.x) {
      float value = 0.0f;
      for (int k = 0; k < keys_at_once_; ++k) value += partials[k * d_.head_size + e];
      o[e] = FromFloat<T>(value / sum);
    }
  }

 private:
  __device__ float Dot(const Pack<T, N>* query, const Pack<T, N>* key) const {
    float dot = 0.0f;
    for (int p = lane_; p < packs_; p += d_.key_threads) {
      const Pack<T, N> q = query[p], k = key[p];
      for (int e = 0; e < N; ++e) dot += ToFloat(q.values[e]) * ToFloat(k.values[e]);
    }
    return dot;
  }

  const DecodeDims& d_;
  int64_t first_, last_;
  int packs_, lane_, key_, keys_at_once_;
};

// One block per query head.
template <typename T, int N>
__global__ void DecodeKernel(DecodeDims d, const T* q, const T* k_cache, const T* v_cache,
                             const int32_t* positions, T* o, float* scores) {
  using P = Pack<T, N>;
  const int64_t head = blockIdx.x;
  const int64_t kv_offset = head / d.group * d.head_size;
  float* const row = scores + head * d.context;
  float* const partials = reinterpret_cast<float*>(DynamicShared());
  const DecodeHead<T, N> decode(d, positions[0]);
  decode.Score(reinterpret_cast<const P*>(q + head * d.head_size),
               reinterpret_cast<const P*>(k_cache + kv_offset), row);
  __syncthreads();
  const float sum = decode.Exponentiate(row);
  decode.Weigh(row, reinterpret_cast<const P*>(v_cache + kv_offset), partials);
  __syncthreads();
  decode.Store(partials, sum, o + head * d.head_size);
}

template <typename T, int N>
absl::Status LaunchDecode(const DecodeAttentionArgs& args, DecodeDims d, cudaStream_t stream) {
  d.key_threads = 1;
  while (d.key_threads < kWarpSize && d.key_threads * N < d.head_size) d.key_threads *= 2;
  const LaunchShape shape = {
      .grid = BlockCount(args.shape.head_count, 1),
      .shared_bytes = kBlockSize / d.key_threads * d.head_size * int64_t{sizeof(float)}};
  return LaunchKernel(DecodeKernel<T, N>, shape, stream, d, args.q.as<const T>(),
                      args.k_cache.as<const T>(), args.v_cache.as<const T>(),
                      args.positions.as<const int32_t>(), args.o.as<T>(), args.scores.as<float>());
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
                        .change = ScoreChangeOf(shape),
                        .key_threads = 0};
  return VisitFloat(args.q.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(
        shape.head_size, {args.q.data, args.k_cache.data, args.v_cache.data},
        [&](auto pack) { return LaunchDecode<T, pack.value>(args, d, cuda.impl().stream.get()); });
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
