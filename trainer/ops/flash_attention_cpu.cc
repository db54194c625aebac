#include "trainer/ops/flash_attention_cpu.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/status_macros.h"
#include "common/units.h"
#include "planner/program/workspace.h"
#include "trainer/ops/attention_workers.h"
#include "trainer/ops/blas.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/vector_math.h"

// Forward, for a tile of queries and over the tiles of keys that it sees, with running row maxima m
// and sums l:
//   S = scale q k^T,  m' = max(m, rowmax S),  P = exp(S - m'),  l = l exp(m - m') + rowsum P,  o =
//   o exp(m - m') + P v;
// at the end o /= l and log_sum_exp = m + log l.
// Backward, for a tile of keys and over the tiles of queries that see it:
//   P = exp(S - log_sum_exp),  dS = scale P * (do v^T - rowsum(do * o)),  dv += P^T do,  dk += dS^T
//   q,  dq += dS k.
namespace tunesmith::trainer::cpu {
namespace {

using planner::kFlashKeyTile;
using planner::kFlashQueryTile;
using planner::OpKind;

// Rows of a head in a (BT, heads * D) tensor.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;

  T* row(int64_t i) const { return data + i * stride; }
  Rows From(int64_t i) const { return {row(i), stride}; }
};

template <typename T>
Rows<T> HeadRows(const Tensor& x, const AttentionShape& shape, int64_t b, int64_t head) {
  const int64_t width = x.dims[1];
  return {x.as<T>() + b * shape.context * width + head * shape.head_size, width};
}

// Tokens [begin, end) of a row.
struct Span {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

Span TileAt(int64_t index, int64_t tile, int64_t context) {
  return {index * tile, std::min(context, (index + 1) * tile)};
}

// The first key that any query of the span sees.
int64_t FirstKey(const int32_t* document_starts, Span queries) {
  return *std::min_element(document_starts + queries.begin, document_starts + queries.end);
}

// The keys of a tile that query i sees, relative to the tile; empty where it sees none.
Span VisibleKeys(const int32_t* document_starts, int64_t i, Span keys) {
  const int64_t begin = std::clamp<int64_t>(document_starts[i] - keys.begin, 0, keys.size());
  return {begin, std::max(begin, std::min(i + 1, keys.end) - keys.begin)};
}

// C (queries, keys) = alpha * a b^T, C with rows kFlashKeyTile apart.
template <typename T>
void ScoreGemm(const Blas& blas, int64_t D, double alpha, Rows<T> a, Span queries, Rows<T> b,
               Span keys, T* c) {
  RunGemm(blas, Gemm<T>{.transpose_b = true,
                        .m = queries.size(),
                        .n = keys.size(),
                        .k = D,
                        .alpha = static_cast<T>(alpha),
                        .a = a.row(queries.begin),
                        .a_stride = a.stride,
                        .b = b.row(keys.begin),
                        .b_stride = b.stride,
                        .c = c,
                        .c_stride = kFlashKeyTile});
}

// y (queries, D) = p x + beta * y, p (queries, keys), x (keys, D).
template <typename T>
void QueryGemm(const Blas& blas, int64_t D, const T* p, Span queries, Rows<T> x, Span keys, T beta,
               Rows<T> y) {
  RunGemm(blas, Gemm<T>{.m = queries.size(),
                        .n = D,
                        .k = keys.size(),
                        .a = p,
                        .a_stride = kFlashKeyTile,
                        .b = x.row(keys.begin),
                        .b_stride = x.stride,
                        .beta = beta,
                        .c = y.row(queries.begin),
                        .c_stride = y.stride});
}

// y (keys, D) += p^T x, p (queries, keys), x (queries, D), y contiguous.
template <typename T>
void KeyGemm(const Blas& blas, int64_t D, const T* p, Span queries, Rows<T> x, Span keys, T beta,
             T* y) {
  RunGemm(blas, Gemm<T>{.transpose_a = true,
                        .m = keys.size(),
                        .n = D,
                        .k = queries.size(),
                        .a = p,
                        .a_stride = kFlashKeyTile,
                        .b = x.row(queries.begin),
                        .b_stride = x.stride,
                        .beta = beta,
                        .c = y,
                        .c_stride = D});
}

// One worker's part of the workspace.
template <typename T>
struct Scratch {
  T* scores;           // (kFlashQueryTile, kFlashKeyTile)
  T* score_gradients;  // the same
  T* key_gradients;    // (kFlashKeyTile, D)
  T* value_gradients;  // the same
  T* maxima;           // (kFlashQueryTile)
  T* sums;             // the same
};

template <typename T>
Scratch<T> ScratchOf(const Tensor& workspace, int64_t D, int worker) {
  Scratch<T> scratch;
  scratch.scores = workspace.as<T>() + worker * planner::FlashAttentionWorkerElements(D);
  scratch.score_gradients = scratch.scores + kFlashQueryTile * kFlashKeyTile;
  scratch.key_gradients = scratch.score_gradients + kFlashQueryTile * kFlashKeyTile;
  scratch.value_gradients = scratch.key_gradients + kFlashKeyTile * D;
  scratch.maxima = scratch.value_gradients + kFlashKeyTile * D;
  scratch.sums = scratch.maxima + kFlashQueryTile;
  return scratch;
}

// Scores of a row become exp(score - offset) where visible and zero elsewhere; returns their sum.
template <typename T>
T ExpVisible(T* scores, Span visible, int64_t count, T offset) {
  std::fill_n(scores, visible.begin, T{0});
  std::fill(scores + visible.end, scores + count, T{0});
  return RowExp(scores + visible.begin, visible.size(), offset, scores + visible.begin);
}

// One row of one tile: the running maximum, sum and output take in its scores.
template <typename T>
void SoftmaxStep(T* scores, Span visible, int64_t key_count, int64_t D, T& maximum, T& sum, T* o) {
  if (visible.size() == 0) {
    std::fill_n(scores, key_count, T{0});
    return;
  }
  const T largest = std::max(maximum, RowMax(scores + visible.begin, visible.size()));
  const T correction = Exp(maximum - largest);
  sum = sum * correction + ExpVisible(scores, visible, key_count, largest);
  if (correction != T{1}) RowScale(o, D, correction);
  maximum = largest;
}

template <typename T>
void ForwardTile(const Blas& blas, const FlashAttentionArgs& args, const HeadItem& head,
                 Span queries, const Scratch<T>& scratch) {
  const AttentionShape& shape = args.shape;
  const int64_t D = shape.head_size, context = shape.context;
  const Rows<T> q = HeadRows<T>(args.q, shape, head.b, head.h);
  const Rows<T> k = HeadRows<T>(args.k, shape, head.b, head.kv);
  const Rows<T> v = HeadRows<T>(args.v, shape, head.b, head.kv);
  const Rows<T> o = HeadRows<T>(args.o, shape, head.b, head.h);
  const int32_t* document_starts = args.document_starts.as<int32_t>() + head.b * context;
  std::fill_n(scratch.maxima, queries.size(), -std::numeric_limits<T>::infinity());
  std::fill_n(scratch.sums, queries.size(), T{0});
  for (int64_t i = queries.begin; i < queries.end; ++i) std::fill_n(o.row(i), D, T{0});
  const int64_t first_tile = FirstKey(document_starts, queries) / kFlashKeyTile;
  for (int64_t tile = first_tile; tile * kFlashKeyTile < queries.end; ++tile) {
    const Span keys = TileAt(tile, kFlashKeyTile, context);
    ScoreGemm(blas, D, shape.scale, q, queries, k, keys, scratch.scores);
    for (int64_t r = 0; r < queries.size(); ++r) {
      const int64_t i = queries.begin + r;
      SoftmaxStep(scratch.scores + r * kFlashKeyTile, VisibleKeys(document_starts, i, keys),
                  keys.size(), D, scratch.maxima[r], scratch.sums[r], o.row(i));
    }
    QueryGemm<T>(blas, D, scratch.scores, queries, v, keys, T{1}, o);
  }
  T* log_sum_exp =
      args.log_sum_exp.as<T>() + (head.b * shape.head_count + head.h) * context + queries.begin;
  for (int64_t r = 0; r < queries.size(); ++r) {
    RowScale(o.row(queries.begin + r), D, T{1} / scratch.sums[r]);
    log_sum_exp[r] = scratch.maxima[r] + std::log(scratch.sums[r]);
  }
}

// One query head's tensors, for backward.
template <typename T>
struct BackwardHead {
  HeadItem head;
  int64_t D, context;
  double scale;
  Rows<T> d_o, q, k, v, o, dq, dk, dv;
  const T* log_sum_exp;            // (T)
  const int32_t* document_starts;  // (T)
};

template <typename T>
BackwardHead<T> HeadForBackward(const FlashAttentionBackwardArgs& args, const HeadItem& head) {
  const AttentionShape& shape = args.shape;
  return {.head = head,
          .D = shape.head_size,
          .context = shape.context,
          .scale = shape.scale,
          .d_o = HeadRows<T>(args.d_o, shape, head.b, head.h),
          .q = HeadRows<T>(args.q, shape, head.b, head.h),
          .k = HeadRows<T>(args.k, shape, head.b, head.kv),
          .v = HeadRows<T>(args.v, shape, head.b, head.kv),
          .o = HeadRows<T>(args.o, shape, head.b, head.h),
          .dq = HeadRows<T>(args.dq, shape, head.b, head.h),
          .dk = HeadRows<T>(args.dk, shape, head.b, head.kv),
          .dv = HeadRows<T>(args.dv, shape, head.b, head.kv),
          .log_sum_exp =
              args.log_sum_exp.as<T>() + (head.b * shape.head_count + head.h) * shape.context,
          .document_starts = args.document_starts.as<int32_t>() + head.b * shape.context};
}

// dS of a row from its P and dP, in place.
template <typename T>
TUNESMITH_VECTOR_CLONES void ScoreGradientRow(const T* p, int64_t count, T scale, T projection,
                                              T* gradient) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) gradient[j] = scale * p[j] * (gradient[j] - projection);
}

// Leaves P in scores and dS in score_gradients.
template <typename T>
void ScoreGradients(const Blas& blas, const BackwardHead<T>& h, Span queries, Span keys,
                    const Scratch<T>& scratch) {
  ScoreGemm(blas, h.D, h.scale, h.q, queries, h.k, keys, scratch.scores);
  ScoreGemm(blas, h.D, 1.0, h.d_o, queries, h.v, keys, scratch.score_gradients);
  for (int64_t r = 0; r < queries.size(); ++r) {
    const int64_t i = queries.begin + r;
    T* p = scratch.scores + r * kFlashKeyTile;
    ExpVisible(p, VisibleKeys(h.document_starts, i, keys), keys.size(), h.log_sum_exp[i]);
    const T projection = RowDot(h.d_o.row(i), h.o.row(i), h.D);
    ScoreGradientRow(p, keys.size(), static_cast<T>(h.scale), projection,
                     scratch.score_gradients + r * kFlashKeyTile);
  }
}

// Adds a tile's key or value gradients to those of its key/value head, or overwrites them for the
// head's first query head.
template <typename T>
void AddKeyTile(const T* tile, Span keys, int64_t D, bool overwrites, Rows<T> gradients) {
  for (int64_t j = 0; j < keys.size(); ++j) {
    T* gradient = gradients.row(keys.begin + j);
    if (overwrites) {
      std::copy_n(tile + j * D, D, gradient);
    } else {
      RowAddScaled(tile + j * D, D, T{1}, gradient);
    }
  }
}

// All tiles of queries that see a tile of keys.
template <typename T>
void BackwardTile(const Blas& blas, const BackwardHead<T>& h, Span keys,
                  const Scratch<T>& scratch) {
  std::fill_n(scratch.key_gradients, keys.size() * h.D, T{0});
  std::fill_n(scratch.value_gradients, keys.size() * h.D, T{0});
  for (int64_t tile = keys.begin / kFlashQueryTile; tile * kFlashQueryTile < h.context; ++tile) {
    const Span queries = TileAt(tile, kFlashQueryTile, h.context);
    if (FirstKey(h.document_starts, queries) >= keys.end) continue;
    ScoreGradients(blas, h, queries, keys, scratch);
    KeyGemm<T>(blas, h.D, scratch.scores, queries, h.d_o, keys, T{1}, scratch.value_gradients);
    KeyGemm<T>(blas, h.D, scratch.score_gradients, queries, h.q, keys, T{1}, scratch.key_gradients);
    QueryGemm<T>(blas, h.D, scratch.score_gradients, queries, h.k, keys, T{1}, h.dq);
  }
}

template <typename T>
void BackwardHeadItem(const Blas& blas, const BackwardHead<T>& h, int64_t item, HeadTurns& turns,
                      const Scratch<T>& scratch) {
  for (int64_t i = 0; i < h.context; ++i) std::fill_n(h.dq.row(i), h.D, T{0});
  for (int64_t tile = 0; tile * kFlashKeyTile < h.context; ++tile) {
    const Span keys = TileAt(tile, kFlashKeyTile, h.context);
    BackwardTile(blas, h, keys, scratch);
    turns.Wait(item, tile);
    AddKeyTile(scratch.key_gradients, keys, h.D, h.head.group == 0, h.dk);
    AddKeyTile(scratch.value_gradients, keys, h.D, h.head.group == 0, h.dv);
    turns.Finish(item, tile);
  }
}

}  // namespace

absl::Status FlashAttention(ThreadPool& threads, const FlashAttentionArgs& args) {
  const AttentionShape& shape = args.shape;
  const int64_t D = shape.head_size, B = args.q.dims[0] / shape.context;
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  TUNESMITH_ASSIGN_OR_RETURN(const int workers,
                             WorkerCount(OpKind::kFlashAttention, args.workspace, args.q.dtype,
                                         planner::FlashAttentionWorkerElements(D)));
  TUNESMITH_RETURN_IF_ERROR(
      CheckDocumentStarts(OpKind::kFlashAttention, args.document_starts, shape.context));
  const int64_t tiles = CeilDivide(shape.context, kFlashQueryTile), heads = B * shape.head_count;
  return VisitComputeType(OpKind::kFlashAttention, args.q.dtype, [&](auto zero) {
    using T = decltype(zero);
    // The last queries see the most keys; they go first, so that threads end together.
    threads.ForEach(tiles * heads, workers, [&](int64_t item, int worker) {
      ForwardTile(*blas, args, HeadOfItem(shape, item % heads, B),
                  TileAt(tiles - 1 - item / heads, kFlashQueryTile, shape.context),
                  ScratchOf<T>(args.workspace, D, worker));
    });
    return absl::OkStatus();
  });
}

absl::Status FlashAttentionBackward(ThreadPool& threads, const FlashAttentionBackwardArgs& args) {
  const AttentionShape& shape = args.shape;
  const int64_t D = shape.head_size, B = args.q.dims[0] / shape.context;
  TUNESMITH_ASSIGN_OR_RETURN(const Blas* blas, LoadBlas());
  TUNESMITH_ASSIGN_OR_RETURN(
      const int workers, WorkerCount(OpKind::kFlashAttentionBackward, args.workspace, args.q.dtype,
                                     planner::FlashAttentionWorkerElements(D)));
  TUNESMITH_RETURN_IF_ERROR(
      CheckDocumentStarts(OpKind::kFlashAttentionBackward, args.document_starts, shape.context));
  return VisitComputeType(OpKind::kFlashAttentionBackward, args.q.dtype, [&](auto zero) {
    using T = decltype(zero);
    HeadTurns turns(shape, B);
    threads.ForEach(B * shape.head_count, workers, [&](int64_t item, int worker) {
      BackwardHeadItem(*blas, HeadForBackward<T>(args, HeadOfItem(shape, item, B)), item, turns,
                       ScratchOf<T>(args.workspace, D, worker));
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
