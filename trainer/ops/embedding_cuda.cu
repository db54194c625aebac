#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/embedding_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// One block per token. A token outside the table gives NaN, which the loss then shows, rather than
// a read outside it.
template <typename T>
__global__ void ForwardKernel(int64_t width, int64_t vocab, const int32_t* tokens, const T* weight,
                              T* y, float scale, bool accumulate) {
  const int64_t i = blockIdx.x;
  const int64_t token = tokens[i];
  const bool known = token >= 0 && token < vocab;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const float value = known ? scale * ToFloat(weight[token * width + c]) : NAN;
    T* const out = y + i * width + c;
    *out = FromFloat<T>(accumulate ? ToFloat(*out) + value : value);
  }
}

// As the activations' type holds it.
template <typename T>
float RoundedScale(double scale) {
  return sizeof(T) == 2 ? FloatFromBf16(Bf16FromFloat(static_cast<float>(scale)))
                        : static_cast<float>(scale);
}

// Columns that one block of the backward kernel sums: each thread keeps so many sums in registers.
constexpr int kColumnsPerThread = 4;
constexpr int kColumnsPerBlock = kBlockSize * kColumnsPerThread;

// Whether no token before `i` equals tokens[i]. All threads of the block get the answer.
__device__ bool IsFirst(int64_t i, const int32_t* tokens) {
  const int32_t token = tokens[i];
  bool earlier = false;
  for (int64_t j = threadIdx.x; j < i && !earlier; j += blockDim.x) earlier = tokens[j] == token;
  return __syncthreads_or(earlier) == 0;
}

struct Matches {
  int values[kBlockSize];
};

// A deterministic scatter without atomics or sorting: the block of the first position of each token
// owns the token's row of dweight; it finds the later positions of that token and adds their rows
// in order, in f32, and writes the row once. Blocks of other positions find that they are not the
// first and end. Every block reads the tokens, which the L2 cache holds (BT^2 reads of 4 bytes in
// all: for 8192 tokens 67 million, some tens of microseconds), instead of a pass over the
// vocabulary.
template <typename T, typename A>
__global__ void BackwardKernel(int64_t token_count, int64_t width, int64_t vocab,
                               const int32_t* tokens, const T* dy, A* dweight, float scale) {
  auto& matches = Shared<Matches>().values;
  const int64_t first = blockIdx.x;
  const int32_t token = tokens[first];
  if (token < 0 || token >= vocab || !IsFirst(first, tokens)) return;
  const int64_t column0 = static_cast<int64_t>(blockIdx.y) * kColumnsPerBlock + threadIdx.x;
  float sums[kColumnsPerThread] = {};
  for (int64_t start = first; start < token_count; start += kBlockSize) {
    const int64_t mine = start + threadIdx.x;
    matches[threadIdx.x] = mine < token_count && tokens[mine] == token;
    const int match_count = __syncthreads_count(matches[threadIdx.x]);
    for (int j = 0, seen = 0; seen < match_count; ++j) {
      if (matches[j] == 0) continue;
      ++seen;
      const T* const row = dy + (start + j) * width;
      for (int s = 0; s < kColumnsPerThread; ++s) {
        const int64_t c = column0 + s * kBlockSize;
        if (c < width) sums[s] += ToFloat(row[c]);
      }
    }
    __syncthreads();
  }
  for (int s = 0; s < kColumnsPerThread; ++s) {
    const int64_t c = column0 + s * kBlockSize;
    if (c >= width) continue;
    A* const out = dweight + token * width + c;
    *out = FromFloat<A>(ToFloat(*out) + scale * sums[s]);
  }
}

template <typename T, typename A>
absl::Status LaunchBackward(const EmbeddingBackwardArgs& args, cudaStream_t stream) {
  const int64_t token_count = args.tokens.element_count();
  const int64_t width = args.dweight.dims[1];
  const dim3 grid(BlockCount(token_count, 1), BlockCount(width, kColumnsPerBlock));
  return LaunchKernel(BackwardKernel<T, A>, {grid}, stream, token_count, width,
                      args.dweight.dims[0], args.tokens.as<const int32_t>(), args.dy.as<const T>(),
                      args.dweight.as<A>(), RoundedScale<T>(args.scale));
}

absl::Status ClearTensor(const Tensor& tensor, cudaStream_t stream) {
  const int64_t bytes = tensor.element_count() * SizeOf(tensor.dtype);
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(tensor.data, 0, static_cast<size_t>(bytes), stream));
  return absl::OkStatus();
}

}  // namespace

absl::Status Embedding(CudaContext& cuda, const EmbeddingArgs& args) {
  const int64_t token_count = args.tokens.element_count();
  if (args.y.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.weight.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(ForwardKernel<T>, {BlockCount(token_count, 1)}, cuda.impl().stream.get(),
                        args.weight.dims[1], args.weight.dims[0], args.tokens.as<const int32_t>(),
                        args.weight.as<const T>(), args.y.as<T>(), RoundedScale<T>(args.scale),
                        args.accumulate);
  });
}

absl::Status EmbeddingBackward(CudaContext& cuda, const EmbeddingBackwardArgs& args) {
  const cudaStream_t stream = cuda.impl().stream.get();
  if (args.dweight.element_count() == 0) return absl::OkStatus();
  if (!args.accumulate) {
    absl::Status cleared = ClearTensor(args.dweight, stream);
    if (!cleared.ok()) return cleared;
  }
  if (args.tokens.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.dy.dtype, [&](auto element) {
    return VisitFloat(args.dweight.dtype, [&](auto sum) {
      return LaunchBackward<decltype(element), decltype(sum)>(args, stream);
    });
  });
}

}  // namespace tunesmith::trainer::cuda
