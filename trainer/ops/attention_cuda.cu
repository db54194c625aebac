#include <algorithm>

#include "common/status_macros.h"
#include "common/units.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/gemm.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/attention_cuda.h"
#include "trainer/ops/score_change.cuh"

// Products through cublasLt, masks and softmax by kernels of one block per query. Scores and their
// gradients are f32 and live in the context's scratch memory, so they are made in pieces: for one
// row of the batch and one query head g of each group, some key/value heads at once (the batch of
// the products), and, where even one head's T x T does not fit, a range of queries. Queries [t0,
// t1) see keys [0, t1) at most, so a piece's products are no wider than that.
//
// Query head h = kh * G + g reads key/value head kh (G = H / K): for a fixed g the query heads of
// consecutive kh lie G heads apart.
namespace tunesmith::trainer::cuda {
namespace {

struct Dims {
  int64_t row_count, context, heads, kv_heads, group, head_size;
  int64_t q_width() const { return heads * head_size; }
  int64_t kv_width() const { return kv_heads * head_size; }
  // Row stride of scores: 32 bytes of f32 divide it, 16 of bf16.
  int64_t score_stride() const { return AlignUp(context, 8); }
};

Dims DimsOf(const AttentionShape& shape, const Tensor& q) {
  return {.row_count = q.dims[0] / shape.context,
          .context = shape.context,
          .heads = shape.head_count,
          .kv_heads = shape.kv_head_count,
          .group = shape.head_count / shape.kv_head_count,
          .head_size = shape.head_size};
}

// How the scratch memory is cut: pieces of at most `heads` key/value heads and `queries` queries.
struct Cut {
  int64_t heads = 0, queries = 0;
};

// `bytes_per_score` and `bytes_per_head` are what a piece takes per score and per head.
absl::StatusOr<Cut> CutFor(CudaContext& cuda, const Dims& d, int64_t bytes_per_score,
                           int64_t bytes_per_head) {
  const int64_t scratch_bytes = cuda.impl().scratch.size_bytes();
  const int64_t bytes_per_query = d.score_stride() * bytes_per_score;
  const int64_t whole_head_bytes = d.context * bytes_per_query + bytes_per_head;
  if (whole_head_bytes <= scratch_bytes) {
    return Cut{.heads = std::min(d.kv_heads, scratch_bytes / whole_head_bytes),
               .queries = d.context};
  }
  // Multiples of 64 queries, but for very small scratch memories.
  int64_t queries = (scratch_bytes - bytes_per_head) / bytes_per_query;
  if (queries > 64) queries -= queries % 64;
  if (queries >= 1) return Cut{.heads = 1, .queries = queries};
  return absl::ResourceExhaustedError(
      StrCat("eager attention at context ", d.context, " needs more than the ", scratch_bytes,
             " bytes of CUDA scratch memory; use a smaller context"));
}

// One piece: row `row` of the batch, heads kh0 * G + g, (kh0 + 1) * G + g, ..., queries [t0, t1).
struct Piece {
  int64_t row, g, kh0, head_count, t0, t1;
  int64_t queries() const { return t1 - t0; }
};

template <typename T>
T* Offset(const Tensor& tensor, int64_t elements) {
  return tensor.as<T>() + elements;
}

// The piece's queries of a (BT, H * D) tensor: a batch of (queries, D).
template <typename T>
GemmOperand QueryRows(const Tensor& tensor, const Dims& d, const Piece& p) {
  const int64_t head = p.kh0 * d.group + p.g;
  return {.data = Offset<T>(tensor, (p.row * d.context + p.t0) * d.q_width() + head * d.head_size),
          .row_stride = d.q_width(),
          .batch_stride = d.group * d.head_size};
}

// The keys [0, t1) of a (BT, K * D) tensor: a batch of (t1, D).
template <typename T>
GemmOperand KeyRows(const Tensor& tensor, const Dims& d, const Piece& p) {
  return {.data = Offset<T>(tensor, p.row * d.context * d.kv_width() + p.kh0 * d.head_size),
          .row_stride = d.kv_width(),
          .batch_stride = d.head_size};
}

// The piece's part of the (B * H, T, T) probabilities: a batch of (queries, T).
template <typename T>
GemmOperand ProbabilityRows(const Tensor& tensor, const Dims& d, const Piece& p) {
  const int64_t matrix = p.row * d.heads + p.kh0 * d.group + p.g;
  return {.data = Offset<T>(tensor, (matrix * d.context + p.t0) * d.context),
          .row_stride = d.context,
          .batch_stride = d.group * d.context * d.context};
}

// A batch of (queries, T) in scratch memory.
GemmOperand ScoreRows(const void* data, const Dims& d, const Piece& p) {
  return {
      .data = data, .row_stride = d.score_stride(), .batch_stride = p.queries() * d.score_stride()};
}

// Calls body(piece) for every g and every range of queries of the given heads of a row.
template <typename Body>
absl::Status ForPieces(const Dims& d, const Cut& cut, int64_t row, int64_t kh0, const Body& body) {
  const int64_t head_count = std::min(cut.heads, d.kv_heads - kh0);
  for (int64_t g = 0; g < d.group; ++g) {
    for (int64_t t0 = 0; t0 < d.context; t0 += cut.queries) {
      const int64_t t1 = std::min(t0 + cut.queries, d.context);
      TUNESMITH_RETURN_IF_ERROR(body(
          Piece{.row = row, .g = g, .kh0 = kh0, .head_count = head_count, .t0 = t0, .t1 = t1}));
    }
  }
  return absl::OkStatus();
}

// What the kernels of a piece need to find a query's row: block x is the query within the piece, y
// the head within it.
struct RowsView {
  int64_t context, t0;
  int64_t score_stride, score_batch_stride;
  int64_t probability_batch_stride;
  const int32_t* document_starts;  // of this row of the batch
  int64_t window;                  // 0: none
  int64_t head0, head_step;        // the query head of the first matrix, and how far the next is
  ScoreChange change;

  __device__ int64_t Head() const { return head0 + blockIdx.y * head_step; }

  __device__ int64_t FirstVisible(int64_t query) const {
    const int64_t first = document_starts[query];
    return window > 0 && query - first >= window ? query - window + 1 : first;
  }
};

RowsView ViewOf(const Tensor& document_starts, const AttentionShape& shape, const Dims& d,
                const Piece& p) {
  return {.context = d.context,
          .t0 = p.t0,
          .score_stride = d.score_stride(),
          .score_batch_stride = p.queries() * d.score_stride(),
          .probability_batch_stride = d.group * d.context * d.context,
          .document_starts = document_starts.as<const int32_t>() + p.row * d.context,
          .window = shape.window,
          .head0 = p.kh0 * d.group + p.g,
          .head_step = d.group,
          .change = ScoreChangeOf(shape)};
}

// probabilities = softmax of the visible scores, which are changed in place, zero elsewhere. Scores that are not visible are
// never read.
template <typename T>
__global__ void SoftmaxKernel(RowsView view, float* scores, T* probabilities) {
  const int64_t query = view.t0 + blockIdx.x;
  const int64_t first = view.FirstVisible(query);
  float* const row = scores + blockIdx.y * view.score_batch_stride + blockIdx.x * view.score_stride;
  T* const out =
      probabilities + blockIdx.y * view.probability_batch_stride + blockIdx.x * view.context;
  float maximum = -INFINITY;
  for (int64_t j = first + threadIdx.x; j <= query; j += blockDim.x) {
    row[j] = view.change.Apply(row[j], view.Head(), query - j).score;
    maximum = fmaxf(maximum, row[j]);
  }
  maximum = BlockMax(maximum);
  float sum = 0.0f;
  for (int64_t j = first + threadIdx.x; j <= query; j += blockDim.x) sum += expf(row[j] - maximum);
  sum = BlockSum(sum);
  for (int64_t j = threadIdx.x; j < view.context; j += blockDim.x) {
    const bool visible = j >= first && j <= query;
    out[j] = FromFloat<T>(visible ? expf(row[j] - maximum) / sum : 0.0f);
  }
}

// The query and key matrices of a piece's first head, for scores that must be formed again to know a soft-cap's slope: one by one, this is the
// baseline.
template <typename T>
struct QueryKeys {
  const T *q, *k;
  int64_t q_stride, k_stride, q_head_stride, k_head_stride, head_size;

  __device__ float Dot(int64_t query_in_piece, int64_t key) const {
    const T* const a = q + blockIdx.y * q_head_stride + query_in_piece * q_stride;
    const T* const b = k + blockIdx.y * k_head_stride + key * k_stride;
    float sum = 0.0f;
    for (int64_t e = 0; e < head_size; ++e) sum += ToFloat(a[e]) * ToFloat(b[e]);
    return sum;
  }
};

// dscores = scale * P * (dP - sum of P * dP) [times the soft-cap's slope], zero where not visible, for keys below key_end.
template <typename T>
__global__ void SoftmaxBackwardKernel(RowsView view, int64_t key_end, const float* dprobabilities,
                                      const T* probabilities, float scale, QueryKeys<T> products,
                                      T* dscores) {
  const int64_t query = view.t0 + blockIdx.x;
  const int64_t first = view.FirstVisible(query);
  const int64_t score_row = blockIdx.y * view.score_batch_stride + blockIdx.x * view.score_stride;
  const float* const dp = dprobabilities + score_row;
  const T* const p =
      probabilities + blockIdx.y * view.probability_batch_stride + blockIdx.x * view.context;
  T* const out = dscores + score_row;
  float dot = 0.0f;
  for (int64_t j = first + threadIdx.x; j <= query; j += blockDim.x) dot += ToFloat(p[j]) * dp[j];
  dot = BlockSum(dot);
  for (int64_t j = threadIdx.x; j < key_end; j += blockDim.x) {
    const bool visible = j >= first && j <= query;
    float value = visible ? scale * ToFloat(p[j]) * (dp[j] - dot) : 0.0f;
    if (visible && view.change.soft_cap > 0.0f)
      value *= view.change.Apply(scale * products.Dot(blockIdx.x, j), 0, 0).slope;
    out[j] = FromFloat<T>(value);
  }
}

dim3 GridOf(const Piece& p) {
  return dim3(static_cast<unsigned int>(p.queries()), static_cast<unsigned int>(p.head_count));
}

template <typename T>
absl::Status ForwardPiece(CudaContext& cuda, const AttentionArgs& args, const Dims& d,
                          const Piece& p) {
  float* const scores = reinterpret_cast<float*>(cuda.impl().scratch.data());
  const GemmOperand score_rows = ScoreRows(scores, d, p);
  TUNESMITH_RETURN_IF_ERROR(Gemm(cuda, {.m = p.queries(),
                                        .n = p.t1,
                                        .k = d.head_size,
                                        .batch_count = p.head_count,
                                        .input_dtype = args.q.dtype,
                                        .output_dtype = DType::kF32,
                                        .a = QueryRows<T>(args.q, d, p),
                                        .b = KeyRows<T>(args.k, d, p),
                                        .transpose_b = true,
                                        .c = {},
                                        .d = score_rows,
                                        .alpha = static_cast<float>(args.shape.scale)}));
  const GemmOperand probabilities = ProbabilityRows<T>(args.probabilities, d, p);
  TUNESMITH_RETURN_IF_ERROR(LaunchKernel(SoftmaxKernel<T>, {GridOf(p)}, cuda.impl().stream.get(),
                                         ViewOf(args.document_starts, args.shape, d, p), scores,
                                         static_cast<T*>(const_cast<void*>(probabilities.data))));
  return Gemm(cuda, {.m = p.queries(),
                     .n = d.head_size,
                     .k = p.t1,
                     .batch_count = p.head_count,
                     .input_dtype = args.q.dtype,
                     .output_dtype = args.q.dtype,
                     .a = probabilities,
                     .b = KeyRows<T>(args.v, d, p),
                     .c = {},
                     .d = QueryRows<T>(args.o, d, p)});
}

template <typename T>
absl::Status Forward(CudaContext& cuda, const AttentionArgs& args) {
  const Dims d = DimsOf(args.shape, args.q);
  TUNESMITH_ASSIGN_OR_RETURN(const Cut cut, CutFor(cuda, d, sizeof(float), 0));
  for (int64_t row = 0; row < d.row_count; ++row) {
    for (int64_t kh0 = 0; kh0 < d.kv_heads; kh0 += cut.heads) {
      TUNESMITH_RETURN_IF_ERROR(ForPieces(
          d, cut, row, kh0, [&](const Piece& p) { return ForwardPiece<T>(cuda, args, d, p); }));
    }
  }
  return absl::OkStatus();
}

// The scratch memory of backward, for the heads of one cut: dk and dv in f32, summed over g and the
// ranges of queries, then a piece's dP and dscores.
template <typename T>
struct BackwardScratch {
  float* dk;  // (heads, T, D)
  float* dv;  // (heads, T, D)
  float* dprobabilities;
  T* dscores;
};

template <typename T>
BackwardScratch<T> LayOut(CudaContext& cuda, const Dims& d, const Cut& cut) {
  const int64_t sums = cut.heads * d.context * d.head_size;
  BackwardScratch<T> s;
  s.dk = reinterpret_cast<float*>(cuda.impl().scratch.data());
  s.dv = s.dk + sums;
  s.dprobabilities = s.dv + sums;
  s.dscores = reinterpret_cast<T*>(s.dprobabilities + cut.heads * cut.queries * d.score_stride());
  return s;
}

// A batch of (T, D) sums in scratch memory.
GemmOperand SumRows(const float* data, const Dims& d) {
  return {.data = data, .row_stride = d.head_size, .batch_stride = d.context * d.head_size};
}

// sums[0, t1) += rows^T x: (t1, queries) times (queries, D).
GemmArgs SumProduct(const Dims& d, const Piece& p, DType dtype, const GemmOperand& rows,
                    const GemmOperand& x, const GemmOperand& sums) {
  return {.m = p.t1,
          .n = d.head_size,
          .k = p.queries(),
          .batch_count = p.head_count,
          .input_dtype = dtype,
          .output_dtype = DType::kF32,
          .a = rows,
          .transpose_a = true,
          .b = x,
          .c = sums,
          .d = sums,
          .beta = 1.0f};
}

// dP = dO v^T, then dscores from it.
template <typename T>
absl::Status ScoreGradients(CudaContext& cuda, const AttentionBackwardArgs& args, const Dims& d,
                            const Piece& p, const BackwardScratch<T>& s) {
  TUNESMITH_RETURN_IF_ERROR(Gemm(cuda, {.m = p.queries(),
                                        .n = p.t1,
                                        .k = d.head_size,
                                        .batch_count = p.head_count,
                                        .input_dtype = args.q.dtype,
                                        .output_dtype = DType::kF32,
                                        .a = QueryRows<T>(args.d_o, d, p),
                                        .b = KeyRows<T>(args.v, d, p),
                                        .transpose_b = true,
                                        .c = {},
                                        .d = ScoreRows(s.dprobabilities, d, p)}));
  const GemmOperand q = QueryRows<T>(args.q, d, p), k = KeyRows<T>(args.k, d, p);
  const QueryKeys<T> products = {.q = static_cast<const T*>(q.data),
                                 .k = static_cast<const T*>(k.data),
                                 .q_stride = q.row_stride,
                                 .k_stride = k.row_stride,
                                 .q_head_stride = q.batch_stride,
                                 .k_head_stride = k.batch_stride,
                                 .head_size = d.head_size};
  return LaunchKernel(SoftmaxBackwardKernel<T>, {GridOf(p)}, cuda.impl().stream.get(),
                      ViewOf(args.document_starts, args.shape, d, p), p.t1, s.dprobabilities,
                      static_cast<const T*>(ProbabilityRows<T>(args.probabilities, d, p).data),
                      static_cast<float>(args.shape.scale), products, s.dscores);
}

template <typename T>
absl::Status BackwardPiece(CudaContext& cuda, const AttentionBackwardArgs& args, const Dims& d,
                           const Piece& p, const BackwardScratch<T>& s) {
  TUNESMITH_RETURN_IF_ERROR(ScoreGradients(cuda, args, d, p, s));
  const DType dtype = args.q.dtype;
  const GemmOperand dscores = ScoreRows(s.dscores, d, p);
  TUNESMITH_RETURN_IF_ERROR(Gemm(cuda, {.m = p.queries(),
                                        .n = d.head_size,
                                        .k = p.t1,
                                        .batch_count = p.head_count,
                                        .input_dtype = dtype,
                                        .output_dtype = dtype,
                                        .a = dscores,
                                        .b = KeyRows<T>(args.k, d, p),
                                        .c = {},
                                        .d = QueryRows<T>(args.dq, d, p)}));
  TUNESMITH_RETURN_IF_ERROR(
      Gemm(cuda, SumProduct(d, p, dtype, dscores, QueryRows<T>(args.q, d, p), SumRows(s.dk, d))));
  return Gemm(cuda, SumProduct(d, p, dtype, ProbabilityRows<T>(args.probabilities, d, p),
                               QueryRows<T>(args.d_o, d, p), SumRows(s.dv, d)));
}

// (heads, T, D) sums to the heads' columns of a (T, row_stride) matrix.
template <typename T>
__global__ void StoreHeadsKernel(int64_t count, int64_t context, int64_t head_size,
                                 int64_t row_stride, const float* sums, T* out) {
  const int64_t i = GlobalThread();
  if (i >= count) return;
  const int64_t element = i % head_size;
  const int64_t t = i / head_size % context;
  const int64_t head = i / head_size / context;
  out[t * row_stride + head * head_size + element] = FromFloat<T>(sums[i]);
}

template <typename T>
absl::Status StoreHeads(const Dims& d, int64_t row, int64_t kh0, int64_t head_count,
                        const float* sums, const Tensor& out, cudaStream_t stream) {
  const int64_t count = head_count * d.context * d.head_size;
  return LaunchKernel(StoreHeadsKernel<T>, {BlockCount(count)}, stream, count, d.context,
                      d.head_size, d.kv_width(), sums,
                      Offset<T>(out, row * d.context * d.kv_width() + kh0 * d.head_size));
}

template <typename T>
absl::Status BackwardHeads(CudaContext& cuda, const AttentionBackwardArgs& args, const Dims& d,
                           const Cut& cut, int64_t row, int64_t kh0) {
  const cudaStream_t stream = cuda.impl().stream.get();
  const BackwardScratch<T> s = LayOut<T>(cuda, d, cut);
  // dk and dv are adjacent.
  const int64_t sums_bytes = 2 * cut.heads * d.context * d.head_size * int64_t{sizeof(float)};
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(s.dk, 0, static_cast<size_t>(sums_bytes), stream));
  TUNESMITH_RETURN_IF_ERROR(ForPieces(
      d, cut, row, kh0, [&](const Piece& p) { return BackwardPiece<T>(cuda, args, d, p, s); }));
  const int64_t head_count = std::min(cut.heads, d.kv_heads - kh0);
  TUNESMITH_RETURN_IF_ERROR(StoreHeads<T>(d, row, kh0, head_count, s.dk, args.dk, stream));
  return StoreHeads<T>(d, row, kh0, head_count, s.dv, args.dv, stream);
}

template <typename T>
absl::Status Backward(CudaContext& cuda, const AttentionBackwardArgs& args) {
  const Dims d = DimsOf(args.shape, args.q);
  TUNESMITH_ASSIGN_OR_RETURN(const Cut cut,
                             CutFor(cuda, d, sizeof(float) + sizeof(T),
                                    2 * d.context * d.head_size * int64_t{sizeof(float)}));
  for (int64_t row = 0; row < d.row_count; ++row) {
    for (int64_t kh0 = 0; kh0 < d.kv_heads; kh0 += cut.heads)
      TUNESMITH_RETURN_IF_ERROR(BackwardHeads<T>(cuda, args, d, cut, row, kh0));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Attention(CudaContext& cuda, const AttentionArgs& args) {
  if (args.q.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.q.dtype,
                    [&](auto element) { return Forward<decltype(element)>(cuda, args); });
}

absl::Status AttentionBackward(CudaContext& cuda, const AttentionBackwardArgs& args) {
  if (args.q.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.q.dtype,
                    [&](auto element) { return Backward<decltype(element)>(cuda, args); });
}

}  // namespace tunesmith::trainer::cuda
