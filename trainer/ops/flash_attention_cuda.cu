#include <type_traits>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/cudnn_engines.h"
#include "trainer/ops/flash_attention_cuda.h"
#include "trainer/ops/flash_matrix_cuda.h"

// Bf16 goes to the matrix units (flash_matrix_cuda.h) where they take its shape. The kernels here are for all else, plain rather than quick. One warp
// per query, or per key in the gradients of keys and values: each lane holds every 32nd element of a head's vectors in registers, a score is a
// sum over the warp, and softmax is carried along the keys (Milakov and Gimelshein 2018, arXiv 1805.02867, algorithm 3). Nothing is T x T, sums
// have a fixed order, and only visible pairs are computed.
namespace tunesmith::trainer::cuda {
namespace {

constexpr int kWarpsPerBlock = kBlockSize / kWarpSize;
// A lane holds at most so many elements: heads of up to 256.
constexpr int kMaxPerLane = 8;

// A head's vector of one token, spread over a warp; elements beyond the head size are zero.
struct LaneVector {
  float values[kMaxPerLane] = {};
};

template <typename T>
__device__ LaneVector LoadVector(const T* data, int64_t head_size) {
  LaneVector v;
  const int lane = threadIdx.x % kWarpSize;
#pragma unroll
  for (int i = 0; i < kMaxPerLane; ++i) {
    const int64_t element = lane + i * kWarpSize;
    if (element < head_size) v.values[i] = ToFloat(data[element]);
  }
  return v;
}

template <typename T>
__device__ void StoreVector(const LaneVector& v, float factor, int64_t head_size, T* data) {
  const int lane = threadIdx.x % kWarpSize;
#pragma unroll
  for (int i = 0; i < kMaxPerLane; ++i) {
    const int64_t element = lane + i * kWarpSize;
    if (element < head_size) data[element] = FromFloat<T>(v.values[i] * factor);
  }
}

// The same in every lane.
__device__ float Dot(const LaneVector& a, const LaneVector& b) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kMaxPerLane; ++i) sum += a.values[i] * b.values[i];
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  return sum;
}

// a = a * factor + b * weight.
__device__ void Accumulate(LaneVector& a, float factor, const LaneVector& b, float weight) {
#pragma unroll
  for (int i = 0; i < kMaxPerLane; ++i) a.values[i] = a.values[i] * factor + b.values[i] * weight;
}

// Warp w of the grid works on token t of head `head` of row `row`; consecutive warps have consecutive tokens, which share keys.
struct Position {
  int64_t row, head, t;
};
__device__ int64_t GlobalWarp() {
  return static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarpSize;
}
__device__ Position PositionOf(int64_t warp, int64_t heads, int64_t context) {
  return {warp / context / heads, warp / context % heads, warp % context};
}

__device__ int64_t FirstKey(const FlashDims& d, const int32_t* document_starts, const Position& p) {
  return d.FirstVisible(document_starts[p.row * d.context + p.t], static_cast<int>(p.t));
}

template <typename T>
__global__ void ForwardKernel(FlashDims d, FlashForwardArgs<T> a) {
  const int64_t warp = GlobalWarp();
  if (warp >= d.query_count()) return;
  const Position p = PositionOf(warp, d.heads, d.context);
  const LaneVector q =
      LoadVector(a.q + VectorAt(d, d.query_stride, p.row, p.head, p.t), d.head_size);
  LaneVector o;
  float maximum = -INFINITY;
  float sum = 0.0f;
  for (int64_t j = FirstKey(d, a.document_starts, p); j <= p.t; ++j) {
    const int64_t key = VectorAt(d, d.key_stride, p.row, p.head / d.group, j);
    const float dot = Dot(q, LoadVector(a.k + key, d.head_size));
    const float score = d.change.Apply(d.scale * dot, p.head, p.t - j).score;
    const float new_maximum = fmaxf(maximum, score);
    const float correction = expf(maximum - new_maximum);  // 0 at the first key
    const float weight = expf(score - new_maximum);
    Accumulate(o, correction, LoadVector(a.v + key, d.head_size), weight);
    sum = sum * correction + weight;
    maximum = new_maximum;
  }
  StoreVector(o, 1.0f / sum, d.head_size, a.o + VectorAt(d, d.output_stride, p.row, p.head, p.t));
  if (threadIdx.x % kWarpSize == 0) a.log_sum_exp[warp] = maximum + logf(sum);
}

// With P = exp(score - log_sum_exp) and delta = d_o . o: d score = P (d_o . v - delta). One warp per query; also writes the deltas.
template <typename T>
__global__ void QueryGradientKernel(FlashDims d, FlashBackwardArgs<T> a) {
  const int64_t warp = GlobalWarp();
  if (warp >= d.query_count()) return;
  const Position p = PositionOf(warp, d.heads, d.context);
  const int64_t at = VectorAt(d, d.query_stride, p.row, p.head, p.t),
                output = VectorAt(d, d.output_stride, p.row, p.head, p.t);
  const LaneVector q = LoadVector(a.q + at, d.head_size);
  const LaneVector d_o = LoadVector(a.d_o + output, d.head_size);
  const float delta = Dot(d_o, LoadVector(a.o + output, d.head_size));
  if (threadIdx.x % kWarpSize == 0) a.deltas[warp] = delta;
  LaneVector dq;
  for (int64_t j = FirstKey(d, a.document_starts, p); j <= p.t; ++j) {
    const int64_t key = VectorAt(d, d.key_stride, p.row, p.head / d.group, j);
    const LaneVector k = LoadVector(a.k + key, d.head_size);
    const ChangedScore changed = d.change.Apply(d.scale * Dot(q, k), p.head, p.t - j);
    const float probability = expf(changed.score - a.log_sum_exp[warp]);
    const float dp = Dot(d_o, LoadVector(a.v + key, d.head_size));
    Accumulate(dq, 1.0f, k, probability * (dp - delta) * changed.slope);
  }
  StoreVector(dq, d.scale, d.head_size, a.dq + at);
}

// One warp per key and key/value head, over the heads of its group and the queries that see it: those from the key on, within the window,
// whose document starts no later; they are consecutive.
template <typename T>
__global__ void KeyGradientKernel(FlashDims d, FlashBackwardArgs<T> a) {
  const int64_t warp = GlobalWarp();
  if (warp >= d.key_count()) return;
  const Position p = PositionOf(warp, d.kv_heads, d.context);
  const int64_t key = VectorAt(d, d.key_stride, p.row, p.head, p.t);
  const LaneVector k = LoadVector(a.k + key, d.head_size);
  const LaneVector v = LoadVector(a.v + key, d.head_size);
  const int32_t* const starts = a.document_starts + p.row * d.context;
  const int64_t end = d.window > 0 ? min(int64_t{d.context}, p.t + d.window) : d.context;
  LaneVector dk, dv;
  for (int64_t head = p.head * d.group; head < (p.head + 1) * d.group; ++head) {
    for (int64_t i = p.t; i < end && starts[i] <= p.t; ++i) {
      const int64_t query = (p.row * d.heads + head) * d.context + i;
      const LaneVector q =
          LoadVector(a.q + VectorAt(d, d.query_stride, p.row, head, i), d.head_size);
      const LaneVector d_o =
          LoadVector(a.d_o + VectorAt(d, d.output_stride, p.row, head, i), d.head_size);
      const ChangedScore changed = d.change.Apply(d.scale * Dot(q, k), head, i - p.t);
      const float probability = expf(changed.score - a.log_sum_exp[query]);
      Accumulate(dv, 1.0f, d_o, probability);
      Accumulate(dk, 1.0f, q, probability * (Dot(d_o, v) - a.deltas[query]) * changed.slope);
    }
  }
  StoreVector(dk, d.scale, d.head_size, a.dk + key);
  StoreVector(dv, 1.0f, d.head_size, a.dv + key);
}

// `args`: of either direction.
template <typename Args>
absl::StatusOr<FlashDims> DimsOf(const Args& args) {
  const AttentionShape& shape = args.shape;
  if (shape.head_size > kMaxPerLane * kWarpSize) {
    return absl::UnimplementedError(StrCat("flash attention on CUDA takes heads of up to ",
                                           kMaxPerLane * kWarpSize, " elements, not ",
                                           shape.head_size, "; use attention=eager"));
  }
  return FlashDims{.rows = static_cast<int>(args.q.dims[0] / shape.context),
                   .context = static_cast<int>(shape.context),
                   .heads = static_cast<int>(shape.head_count),
                   .kv_heads = static_cast<int>(shape.kv_head_count),
                   .group = static_cast<int>(shape.head_count / shape.kv_head_count),
                   .head_size = static_cast<int>(shape.head_size),
                   .window = static_cast<int>(shape.window),
                   .query_stride = args.q.row_stride(),
                   .key_stride = args.k.row_stride(),
                   .output_stride = args.o.row_stride(),
                   .scale = static_cast<float>(shape.scale),
                   .change = ScoreChangeOf(shape)};
}

template <typename T>
absl::Status Forward(const FlashDims& d, const FlashAttentionArgs& args, cudaStream_t stream) {
  const FlashForwardArgs<T> a = {.q = args.q.as<const T>(),
                                 .k = args.k.as<const T>(),
                                 .v = args.v.as<const T>(),
                                 .document_starts = args.document_starts.as<const int32_t>(),
                                 .o = args.o.as<T>(),
                                 .log_sum_exp = args.log_sum_exp.as<float>()};
  if constexpr (std::is_same_v<T, Bf16>) {
    if (FlashMatrixTakes(d, a)) return FlashMatrixForward(d, a, stream);
  }
  return LaunchKernel(ForwardKernel<T>, {BlockCount(d.query_count(), kWarpsPerBlock)}, stream, d,
                      a);
}

template <typename T>
absl::Status Backward(const FlashDims& d, const FlashAttentionBackwardArgs& args, float* deltas,
                      cudaStream_t stream) {
  const FlashBackwardArgs<T> a = {.d_o = args.d_o.as<const T>(),
                                  .q = args.q.as<const T>(),
                                  .k = args.k.as<const T>(),
                                  .v = args.v.as<const T>(),
                                  .o = args.o.as<const T>(),
                                  .log_sum_exp = args.log_sum_exp.as<const float>(),
                                  .document_starts = args.document_starts.as<const int32_t>(),
                                  .dq = args.dq.as<T>(),
                                  .dk = args.dk.as<T>(),
                                  .dv = args.dv.as<T>(),
                                  .deltas = deltas};
  if constexpr (std::is_same_v<T, Bf16>) {
    if (FlashMatrixTakes(d, a)) return FlashMatrixBackward(d, a, stream);
  }
  TUNESMITH_RETURN_IF_ERROR(LaunchKernel(
      QueryGradientKernel<T>, {BlockCount(d.query_count(), kWarpsPerBlock)}, stream, d, a));
  return LaunchKernel(KeyGradientKernel<T>, {BlockCount(d.key_count(), kWarpsPerBlock)}, stream, d,
                      a);
}

// Null: the kernels here run. Documents are packed into rows as they come, so that every row may have several.
template <typename Args>
absl::StatusOr<const CudnnAttention*> EngineFor(CudaContext& cuda, const Args& args) {
  if (!args.cudnn || args.q.dtype != DType::kBF16) return nullptr;
  CudnnAttentionShape shape;
  shape.attention = args.shape;
  shape.rows = args.q.dims[0] / args.shape.context;
  shape.query_stride = args.q.row_stride();
  shape.key_stride = args.k.row_stride();
  return cuda.impl().cudnn_engines->Find(cuda, shape);
}

}  // namespace

absl::Status FlashAttention(CudaContext& cuda, const FlashAttentionArgs& args) {
  if (args.q.element_count() == 0) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const CudnnAttention* const engine, EngineFor(cuda, args));
  if (engine != nullptr) return engine->Forward(cuda, args);
  TUNESMITH_ASSIGN_OR_RETURN(const FlashDims d, DimsOf(args));
  return VisitFloat(args.q.dtype, [&](auto element) {
    return Forward<decltype(element)>(d, args, cuda.impl().stream.get());
  });
}

absl::Status FlashAttentionBackward(CudaContext& cuda, const FlashAttentionBackwardArgs& args) {
  if (args.q.element_count() == 0) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const CudnnAttention* const engine, EngineFor(cuda, args));
  if (engine != nullptr) return engine->Backward(cuda, args);
  TUNESMITH_ASSIGN_OR_RETURN(const FlashDims d, DimsOf(args));
  TUNESMITH_ASSIGN_OR_RETURN(float* const deltas, ScratchFor<float>(cuda, d.query_count()));
  return VisitFloat(args.q.dtype, [&](auto element) {
    return Backward<decltype(element)>(d, args, deltas, cuda.impl().stream.get());
  });
}

}  // namespace tunesmith::trainer::cuda
