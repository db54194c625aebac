#include <algorithm>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/embedding_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

template <typename T, int N>
struct ForwardArgs {
  RowPacks<T, N> rows;  // of tokens
  int64_t vocab;
  const int32_t* tokens;
  const Pack<T, N>* weight;
  Pack<T, N>* y;
  float scale;
  bool accumulate;
};

// A token outside the table gives NaN, which the loss then shows, rather than a read outside it.
template <typename T, int N>
__global__ void ForwardKernel(ForwardArgs<T, N> k) {
  const RowPlace place = k.rows.threads.Place();
  if (place.row >= k.rows.count) return;
  const int64_t token = k.tokens[place.row];
  const bool known = token >= 0 && token < k.vocab;
  const int packs_of_row = k.rows.packs;
  Pack<T, N>* const y = k.y + place.row * packs_of_row;
  HeldRows<T, N, 2, 2> row(
      {known ? k.weight + token * packs_of_row : nullptr, k.accumulate ? y : nullptr}, packs_of_row,
      place);
  row.ForEach([&](int i, const auto& packs) {
    Pack<T, N> out;
    for (int j = 0; j < N; ++j) {
      const float value = known ? k.scale * ToFloat(packs[0].values[j]) : NAN;
      out.values[j] = FromFloat<T>(k.accumulate ? ToFloat(packs[1].values[j]) + value : value);
    }
    y[i] = out;
  });
}

// As the activations' type holds it.
template <typename T>
float RoundedScale(double scale) {
  return sizeof(T) == 2 ? FloatFromBf16(Bf16FromFloat(static_cast<float>(scale)))
                        : static_cast<float>(scale);
}

// ---- Backward -----------------------------------------------------------------------------------
//
// A scatter without atomics, whose order of additions is that of the positions. First each block sorts a chunk of the tokens, with their positions; then a warp per
// sorted entry looks whether it is the first of its token, by a binary search of its lanes in all chunks at once, and adds the rows of dy that the
// chunks name for the token, chunk after chunk. So each row of dy is read once, and each row of dweight that a token names is read and written once.

constexpr int kChunk = 1024;               // tokens that a block sorts
constexpr int kSortThreads = kChunk / 2;   // one for each pair that is compared
constexpr uint64_t kNoKey = ~uint64_t{0};  // no token, or one outside the table: after all others

struct SortedChunk {
  uint64_t keys[kChunk];
};

// A token's place in the order: by token, then by position.
__device__ uint64_t KeyOf(int32_t token, int64_t position) {
  return static_cast<uint64_t>(token) << 32 | static_cast<uint64_t>(position);
}
__device__ int32_t TokenOf(uint64_t key) { return static_cast<int32_t>(key >> 32); }
__device__ int64_t PositionOf(uint64_t key) { return static_cast<int64_t>(key & 0xffffffffu); }

// A bitonic sort (Batcher 1968): runs of `size` are sorted by merging, up where the run's index is even and down where it is odd.
__global__ void SortKernel(int64_t token_count, int64_t vocab, const int32_t* tokens,
                           uint64_t* sorted) {
  auto& keys = Shared<SortedChunk>().keys;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kChunk;
  for (int i = threadIdx.x; i < kChunk; i += kSortThreads) {
    const int32_t token = begin + i < token_count ? tokens[begin + i] : -1;
    keys[i] = token >= 0 && token < vocab ? KeyOf(token, begin + i) : kNoKey;
  }
  for (int size = 2; size <= kChunk; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      const int thread = threadIdx.x;
      const int low = thread / stride * 2 * stride + thread % stride;
      const uint64_t a = keys[low], b = keys[low + stride];
      const bool descending = (low & size) != 0;
      if ((a > b) != descending) {
        keys[low] = b;
        keys[low + stride] = a;
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kChunk; i += kSortThreads) sorted[begin + i] = keys[i];
}

// How many keys of a sorted chunk are of tokens below `token`.
__device__ int CountBelow(const uint64_t* chunk, int32_t token) {
  const uint64_t key = KeyOf(token, 0);
  int count = 0;
  for (int step = kChunk / 2; step > 0; step /= 2) {
    if (chunk[count + step - 1] < key) count += step;
  }
  return count + (chunk[count] < key ? 1 : 0);
}

constexpr int kColumnPacks = 2;  // of a row, that a lane adds

template <typename T, typename A, int N>
struct BackwardArgs {
  int64_t entry_count, chunk_count;
  int packs;  // of a row
  const uint64_t* sorted;
  const Pack<T, N>* dy;
  Pack<A, N>* dweight;
  float scale;
};

// This lane's columns of one row of dweight.
template <typename T, typename A, int N>
struct RowGradient {
  const BackwardArgs<T, A, N>& k;
  int first;  // pack
  float sums[kColumnPacks][N] = {};

  __device__ bool Exists(int c) const { return first + c * kWarpSize < k.packs; }
  __device__ void Load(int64_t position, LoadedPack<T, N> (&packs)[kColumnPacks]) const {
#pragma unroll
    for (int c = 0; c < kColumnPacks; ++c) {
      if (!Exists(c)) continue;
      packs[c] = LoadedPack<T, N>(k.dy[position * k.packs + first + c * kWarpSize]);
    }
  }
  __device__ void Add(const LoadedPack<T, N> (&packs)[kColumnPacks]) {
#pragma unroll
    for (int c = 0; c < kColumnPacks; ++c) {
      if (!Exists(c)) continue;
      const Pack<T, N> values = packs[c].Unpacked();
      for (int j = 0; j < N; ++j) sums[c][j] += ToFloat(values.values[j]);
    }
  }
  __device__ void Store(int32_t token) const {
    Pack<A, N>* const out = k.dweight + int64_t{token} * k.packs + first;
    Pack<A, N> values[kColumnPacks];
#pragma unroll
    for (int c = 0; c < kColumnPacks; ++c) {
      if (Exists(c)) values[c] = out[c * kWarpSize];
    }
#pragma unroll
    for (int c = 0; c < kColumnPacks; ++c) {
      if (!Exists(c)) continue;
      for (int j = 0; j < N; ++j)
        values[c].values[j] = FromFloat<A>(ToFloat(values[c].values[j]) + k.scale * sums[c][j]);
      out[c * kWarpSize] = values[c];
    }
  }
};

// Adds the rows that `count` lanes of the warp name, in the order of the lanes, several loads ahead of the additions.
template <typename T, typename A, int N>
__device__ void AddRows(int64_t position, int count, RowGradient<T, A, N>& row) {
  constexpr int kAhead = 4;
  for (int from = 0; from < count; from += kAhead) {
    LoadedPack<T, N> packs[kAhead][kColumnPacks];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t of_lane = __shfl_sync(kAllLanes, position, min(from + a, count - 1));
      if (from + a < count) row.Load(of_lane, packs[a]);
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (from + a < count) row.Add(packs[a]);
    }
  }
}

// Adds the token's rows of one chunk, whose keys from `begin` on are of the token or later ones.
template <typename T, typename A, int N>
__device__ void AddChunk(const uint64_t* chunk, int begin, int32_t token,
                         RowGradient<T, A, N>& row) {
  for (int from = begin; from < kChunk; from += kWarpSize) {
    const int mine = from + static_cast<int>(threadIdx.x) % kWarpSize;
    const uint64_t key = mine < kChunk ? chunk[mine] : kNoKey;
    const int count = __popc(__ballot_sync(kAllLanes, TokenOf(key) == token));
    if (count > 0) AddRows(PositionOf(key), count, row);
    if (count < kWarpSize) return;
  }
}

// A warp per sorted entry (x) and column tile (y).
template <typename T, typename A, int N>
__global__ void BackwardKernel(BackwardArgs<T, A, N> k) {
  const int lane = threadIdx.x % kWarpSize;
  const int64_t entry = GlobalThread() / kWarpSize;
  if (entry >= k.entry_count || k.sorted[entry] == kNoKey) return;
  const int32_t token = TokenOf(k.sorted[entry]);
  if (entry % kChunk != 0 && TokenOf(k.sorted[entry - 1]) == token) return;
  RowGradient<T, A, N> row = {k, static_cast<int>(blockIdx.y) * kColumnPacks * kWarpSize + lane};
  for (int64_t base = 0; base < k.chunk_count; base += kWarpSize) {
    const int64_t mine = base + lane;
    int begin = kChunk;
    if (mine < k.chunk_count) begin = CountBelow(k.sorted + mine * kChunk, token);
    const bool has = begin < kChunk && TokenOf(k.sorted[mine * kChunk + begin]) == token;
    if (__any_sync(kAllLanes, has && mine < entry / kChunk)) return;  // another entry is the first
    for (unsigned int left = __ballot_sync(kAllLanes, has); left != 0; left &= left - 1) {
      const int next = __ffs(static_cast<int>(left)) - 1;
      AddChunk(k.sorted + (base + next) * kChunk, __shfl_sync(kAllLanes, begin, next), token, row);
    }
  }
  row.Store(token);
}

template <typename T, typename A, int N>
absl::Status LaunchBackward(const EmbeddingBackwardArgs& args, const uint64_t* sorted,
                            int64_t chunk_count, cudaStream_t stream) {
  const BackwardArgs<T, A, N> k = {.entry_count = chunk_count * kChunk,
                                   .chunk_count = chunk_count,
                                   .packs = static_cast<int>(args.dweight.dims[1] / N),
                                   .sorted = sorted,
                                   .dy = args.dy.as<const Pack<T, N>>(),
                                   .dweight = args.dweight.as<Pack<A, N>>(),
                                   .scale = RoundedScale<T>(args.scale)};
  const dim3 grid(BlockCount(k.entry_count * kWarpSize),
                  BlockCount(k.packs, kColumnPacks * kWarpSize));
  return LaunchKernel(BackwardKernel<T, A, N>, {grid}, stream, k);
}

absl::Status ClearTensor(const Tensor& tensor, cudaStream_t stream) {
  const int64_t bytes = tensor.element_count() * SizeOf(tensor.dtype);
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(tensor.data, 0, static_cast<size_t>(bytes), stream));
  return absl::OkStatus();
}

}  // namespace

absl::Status Embedding(CudaContext& cuda, const EmbeddingArgs& args) {
  return VisitRows(
      args.weight.dtype, args.tokens.element_count(), args.weight.dims[1],
      {args.weight.data, args.y.data}, [&]<typename T, int N>(const RowPacks<T, N>& rows) {
        const ForwardArgs<T, N> k = {.rows = rows,
                                     .vocab = args.weight.dims[0],
                                     .tokens = args.tokens.as<const int32_t>(),
                                     .weight = args.weight.as<const Pack<T, N>>(),
                                     .y = args.y.as<Pack<T, N>>(),
                                     .scale = RoundedScale<T>(args.scale),
                                     .accumulate = args.accumulate};
        return LaunchKernel(ForwardKernel<T, N>, rows.launch_shape(), cuda.impl().stream.get(), k);
      });
}

absl::Status EmbeddingBackward(CudaContext& cuda, const EmbeddingBackwardArgs& args) {
  const cudaStream_t stream = cuda.impl().stream.get();
  if (args.dweight.element_count() == 0) return absl::OkStatus();
  if (!args.accumulate) TUNESMITH_RETURN_IF_ERROR(ClearTensor(args.dweight, stream));
  const int64_t token_count = args.tokens.element_count(), width = args.dweight.dims[1];
  if (token_count == 0) return absl::OkStatus();
  const int64_t chunk_count = (token_count + kChunk - 1) / kChunk;
  TUNESMITH_ASSIGN_OR_RETURN(uint64_t* const sorted,
                             ScratchFor<uint64_t>(cuda, chunk_count * kChunk));
  TUNESMITH_RETURN_IF_ERROR(
      LaunchKernel(SortKernel, {static_cast<unsigned int>(chunk_count), dim3(kSortThreads)}, stream,
                   token_count, args.dweight.dims[0], args.tokens.as<const int32_t>(), sorted));
  return VisitFloat(args.dy.dtype, [&](auto element) {
    return VisitFloat(args.dweight.dtype, [&](auto sum) {
      using T = decltype(element);
      using A = decltype(sum);
      constexpr int kPack = 16 / sizeof(T);
      if (CanPack<T, kPack>(width, {args.dy.data}) && CanPack<A, kPack>(width, {args.dweight.data}))
        return LaunchBackward<T, A, kPack>(args, sorted, chunk_count, stream);
      return LaunchBackward<T, A, 1>(args, sorted, chunk_count, stream);
    });
  });
}

}  // namespace tunesmith::trainer::cuda
