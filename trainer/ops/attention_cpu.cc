#include "trainer/ops/attention_cpu.h"

#include <algorithm>

#include "common/status_macros.h"
#include "planner/program/workspace.h"
#include "trainer/ops/attention_workers.h"
#include "trainer/ops/blas.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/vector_math.h"

// Per head, with S the scaled scores and P = softmax(S):
//   o = P v,  dv = P^T do,  dP = do v^T,  dS = P * (dP - rowsum(P * dP)),  dq = scale dS k,  dk =
//   scale dS^T q.
namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// A head's part of a (BT, heads * D) tensor: T rows of D, `stride` apart.
template <typename T>
struct HeadView {
  T* data;
  int64_t stride;
};

template <typename T>
HeadView<T> ViewHead(const Tensor& x, const AttentionShape& shape, int64_t b, int64_t head) {
  const int64_t width = x.dims[1];
  return {x.as<T>() + b * shape.context * width + head * shape.head_size, width};
}

// In place: a row of scores becomes probabilities over [first, last], zero elsewhere.
template <typename T>
void SoftmaxRow(T* row, int64_t first, int64_t last, int64_t count) {
  const int64_t visible = last - first + 1;
  const T sum = RowExp(row + first, visible, RowMax(row + first, visible), row + first);
  RowScale(row + first, visible, T{1} / sum);
  std::fill_n(row, first, T{0});
  std::fill(row + last + 1, row + count, T{0});
}

// C (T, T) = alpha * a b^T, a and b (T, D).
template <typename T>
Gemm<T> OuterGemm(const AttentionShape& shape, double alpha, HeadView<T> a, HeadView<T> b, T* c) {
  const int64_t context = shape.context;
  return {.transpose_b = true,
          .m = context,
          .n = context,
          .k = shape.head_size,
          .alpha = static_cast<T>(alpha),
          .a = a.data,
          .a_stride = a.stride,
          .b = b.data,
          .b_stride = b.stride,
          .c = c,
          .c_stride = context};
}

// C (T, D) = op(a) b + beta * C, a (T, T), b (T, D).
template <typename T>
Gemm<T> InnerGemm(const AttentionShape& shape, bool transpose, const T* a, HeadView<T> b, T beta,
                  HeadView<T> c) {
  const int64_t context = shape.context;
  return {.transpose_a = transpose,
          .m = context,
          .n = shape.head_size,
          .k = context,
          .a = a,
          .a_stride = context,
          .b = b.data,
          .b_stride = b.stride,
          .beta = beta,
          .c = c.data,
          .c_stride = c.stride};
}

// In place: the scores of query i with keys [first, i] are capped and biased.
template <typename T>
TUNESMITH_VECTOR_CLONES void CapRow(T* row, int64_t first, int64_t last, T cap) {
#pragma omp simd
  for (int64_t j = first; j <= last; ++j) row[j] = cap * Tanh(row[j] / cap);
}
template <typename T>
TUNESMITH_VECTOR_CLONES void BiasRow(T* row, int64_t first, int64_t last, T slope) {
#pragma omp simd
  for (int64_t j = first; j <= last; ++j) row[j] -= slope * static_cast<T>(last - j);
}

template <typename T>
void ForwardHead(const Blas& blas, const AttentionArgs& args, const HeadItem& head) {
  const AttentionShape& shape = args.shape;
  const int64_t context = shape.context;
  T* probabilities =
      args.probabilities.as<T>() + (head.b * shape.head_count + head.h) * context * context;
  RunGemm(blas, OuterGemm(shape, shape.scale, ViewHead<T>(args.q, shape, head.b, head.h),
                          ViewHead<T>(args.k, shape, head.b, head.kv), probabilities));
  const int32_t* document_starts = args.document_starts.as<int32_t>() + head.b * context;
  const T cap = static_cast<T>(shape.soft_cap), slope = SlopeOf<T>(shape, head.h);
  for (int64_t i = 0; i < context; ++i) {
    T* const row = probabilities + i * context;
    const int64_t first = FirstVisibleKey(shape, document_starts, i);
    if (cap > 0) CapRow(row, first, i, cap);
    if (slope > 0) BiasRow(row, first, i, slope);
    SoftmaxRow(row, first, i, context);
  }
  RunGemm(blas, InnerGemm(shape, false, probabilities, ViewHead<T>(args.v, shape, head.b, head.kv),
                          T{0}, ViewHead<T>(args.o, shape, head.b, head.h)));
}

// In place: dP becomes scale * dS. Where P is zero, so is dS.
template <typename T>
void SoftmaxBackwardRow(const T* probabilities, int64_t count, T scale, T* gradient) {
  const T projection = RowDot(probabilities, gradient, count);
  for (int64_t j = 0; j < count; ++j) {
    gradient[j] = scale * probabilities[j] * (gradient[j] - projection);
  }
}

// In place: gradients of what was capped become those of the scores before. The scores are formed again, one by one: this is the baseline.
template <typename T>
void UncapRow(const T* probabilities, HeadView<T> q, HeadView<T> k, const AttentionShape& shape,
              int64_t i, T* gradient) {
  const T scale = static_cast<T>(shape.scale / shape.soft_cap);
  for (int64_t j = 0; j <= i; ++j) {
    if (probabilities[j] == T{0}) continue;
    const T dot = RowDot(q.data + i * q.stride, k.data + j * k.stride, shape.head_size);
    const T share = Tanh(scale * dot);
    gradient[j] *= T{1} - share * share;
  }
}

template <typename T>
void BackwardHead(const Blas& blas, const AttentionBackwardArgs& args, int64_t item, int64_t B,
                  Turns& turns, T* scratch) {
  const AttentionShape& shape = args.shape;
  const HeadItem head = HeadOfItem(shape, item, B);
  const int64_t context = shape.context;
  const T* probabilities =
      args.probabilities.as<T>() + (head.b * shape.head_count + head.h) * context * context;
  const HeadView<T> d_o = ViewHead<T>(args.d_o, shape, head.b, head.h);
  const HeadView<T> q = ViewHead<T>(args.q, shape, head.b, head.h);
  RunGemm(blas, OuterGemm(shape, 1.0, d_o, ViewHead<T>(args.v, shape, head.b, head.kv), scratch));
  for (int64_t i = 0; i < context; ++i) {
    SoftmaxBackwardRow(probabilities + i * context, context, static_cast<T>(shape.scale),
                       scratch + i * context);
    if (shape.soft_cap > 0)
      UncapRow(probabilities + i * context, q, ViewHead<T>(args.k, shape, head.b, head.kv), shape,
               i, scratch + i * context);
  }
  RunGemm(blas, InnerGemm(shape, false, static_cast<const T*>(scratch),
                          ViewHead<T>(args.k, shape, head.b, head.kv), T{0},
                          ViewHead<T>(args.dq, shape, head.b, head.h)));
  const T beta = head.group == 0 ? T{0} : T{1};
  const int64_t sum = head.b * shape.kv_head_count + head.kv;
  turns.Wait(sum, head.group);
  RunGemm(blas, InnerGemm(shape, true, probabilities, d_o, beta,
                          ViewHead<T>(args.dv, shape, head.b, head.kv)));
  RunGemm(blas, InnerGemm(shape, true, static_cast<const T*>(scratch), q, beta,
                          ViewHead<T>(args.dk, shape, head.b, head.kv)));
  turns.Finish(sum, head.group);
}

}  // namespace

absl::Status Attention(ThreadPool& threads, const AttentionArgs& args) {
  const AttentionShape& shape = args.shape;
  const int64_t B = args.q.dims[0] / shape.context;
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  TUNESMITH_RETURN_IF_ERROR(
      CheckDocumentStarts(OpKind::kAttention, args.document_starts, shape.context));
  return VisitComputeType(OpKind::kAttention, args.q.dtype, [&](auto zero) {
    threads.ForEach(B * shape.head_count, threads.thread_count(), [&](int64_t item, int) {
      ForwardHead<decltype(zero)>(*blas, args, HeadOfItem(shape, item, B));
    });
    return absl::OkStatus();
  });
}

absl::Status AttentionBackward(ThreadPool& threads, const AttentionBackwardArgs& args) {
  const AttentionShape& shape = args.shape;
  const int64_t B = args.q.dims[0] / shape.context;
  const int64_t worker_elements = planner::AttentionBackwardWorkspaceElements(shape.context, 1);
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  TUNESMITH_ASSIGN_OR_RETURN(
      const int workers,
      WorkerCount(OpKind::kAttentionBackward, args.workspace, args.q.dtype, worker_elements));
  return VisitComputeType(OpKind::kAttentionBackward, args.q.dtype, [&](auto zero) {
    using T = decltype(zero);
    Turns turns(B * shape.kv_head_count);
    threads.ForEach(B * shape.head_count, workers, [&](int64_t item, int worker) {
      BackwardHead(*blas, args, item, B, turns, args.workspace.as<T>() + worker * worker_elements);
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
