#include "trainer/ops/flash_attention_cpu.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>
#include <utility>

#include "common/status_macros.h"
#include "common/units.h"
#include "planner/program/workspace.h"
#include "trainer/ops/attention_workers.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/flash_tiles.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/storage.h"
#include "trainer/ops/tile_product.h"
#include "trainer/ops/vector_math.h"

// Both directions take a tile of queries of one head and go over the tiles of keys that it sees, with scores turned round (flash_tiles.h).
// Forward, with running maxima m and sums l:
//   S = scale k q^T,  m' = max(m, max S),  P = exp(S - m'),  l = l exp(m - m') + sum P,  o = o exp(m - m') + P^T v;
// at the end o /= l and log_sum_exp = m + log l.
// Backward:
//   P = exp(S - log_sum_exp),  dS = scale P * (v do^T - sum(do * o)),  dq += dS^T k,  dv += P do,  dk += dS q.
// Inside, exponentials are powers of two: the factor log2(e) goes into the queries when they are turned round.
//
// Every type is computed with in T, f32 for bf16: tiles are widened into the worker's scratch, results rounded once. Gradients of keys and
// values get a share from every tile of queries of every head that uses them; a tile of keys takes them in the order of the items.
namespace tunesmith::trainer::cpu {
namespace {

using planner::kFlashTile;
using planner::OpKind;

// Rows of a (BT, heads * D) tensor, or of a head in it.
template <typename S>
struct Rows {
  S* data;
  int64_t stride;

  S* row(int64_t i) const { return data + i * stride; }
};

template <typename S>
Rows<S> HeadRows(const Tensor& x, const AttentionShape& shape, int64_t b, int64_t head) {
  const int64_t stride = x.row_stride();
  return {x.as<S>() + b * shape.context * stride + head * shape.head_size, stride};
}

// Tokens [begin, end) of a row.
struct Span {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

Span TileAt(int64_t index, int64_t context) {
  return {index * kFlashTile, std::min(context, (index + 1) * kFlashTile)};
}

// A tile of queries of one head: its place, and the first key that each query sees.
struct QueryTile {
  HeadItem head;
  int64_t index = 0;
  Span queries;
  std::array<int64_t, kFlashTile> first_keys;
  int64_t least_first_key = 0;
  int64_t largest_first_key = 0;
};

QueryTile TileOfQueries(const AttentionShape& shape, const Tensor& document_starts,
                        const HeadItem& head, int64_t index) {
  QueryTile tile{.head = head, .index = index, .queries = TileAt(index, shape.context)};
  const int32_t* starts = document_starts.as<int32_t>() + head.b * shape.context;
  for (int64_t r = 0; r < tile.queries.size(); ++r) {
    tile.first_keys[r] = FirstVisibleKey(shape, starts, tile.queries.begin + r);
  }
  const auto [least, largest] =
      std::minmax_element(tile.first_keys.begin(), tile.first_keys.begin() + tile.queries.size());
  tile.least_first_key = *least;
  tile.largest_first_key = *largest;
  return tile;
}

VisibleKeys VisibleIn(const QueryTile& tile, Span keys) {
  VisibleKeys visible;
  visible.all = tile.largest_first_key <= keys.begin && keys.end <= tile.queries.begin + 1;
  if (visible.all) return visible;
  for (int64_t r = 0; r < kFlashTile; ++r) {
    const bool exists = r < tile.queries.size();
    visible.first[r] = exists ? static_cast<int32_t>(tile.first_keys[r] - keys.begin) : 0;
    visible.last[r] =
        exists ? static_cast<int32_t>(tile.queries.begin + r - keys.begin) : int32_t{-1};
  }
  return visible;
}

// Rows of T that a product can read: D columns, and zeros up to a whole step of columns.
template <typename T>
struct Operand {
  const T* data;
  int64_t stride;
};

int64_t PaddedSize(int64_t D) { return AlignUp(D, kTileColumnStep); }

template <typename S>
TUNESMITH_VECTOR_CLONES void WidenRow(const S* x, int64_t count, Arithmetic<S>* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<Arithmetic<S>>(x[i]);
}

// The rows where they are if a product can read them there, else a copy in `scratch` (kFlashTile, PaddedSize(D)).
template <typename S, typename T = Arithmetic<S>>
Operand<T> Load(Rows<const S> x, Span rows, int64_t D, T* scratch) {
  const int64_t padded = PaddedSize(D);
  if constexpr (std::is_same_v<S, T>) {
    if (padded == D) return {x.row(rows.begin), x.stride};
  }
  for (int64_t r = 0; r < rows.size(); ++r) {
    WidenRow(x.row(rows.begin + r), D, scratch + r * padded);
    std::fill_n(scratch + r * padded + D, padded - D, T{0});
  }
  return {scratch, padded};
}

// y (D, kFlashTile) = factor * x^T, zero beyond the rows.
template <typename S, typename T = Arithmetic<S>>
void TurnRound(Rows<const S> x, Span rows, int64_t D, T factor, T* y) {
  if (rows.size() < kFlashTile) std::fill_n(y, D * kFlashTile, T{0});
  for (int64_t r = 0; r < rows.size(); ++r) {
    const S* row = x.row(rows.begin + r);
    for (int64_t d = 0; d < D; ++d) y[d * kFlashTile + r] = factor * static_cast<T>(row[d]);
  }
}

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void StoreScaled(const T* x, int64_t count, T factor, S* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<S>(factor * x[i]);
}

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES T Dot(const S* a, const S* b, int64_t count) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<T>(a[i]) * static_cast<T>(b[i]);
  return sum;
}

// In units of the base-2 logarithm, for a tile of queries and a tile of keys.
template <typename T>
TileChange<T> ChangeOf(const AttentionShape& shape, const QueryTile& tile, Span keys) {
  return {.cap = static_cast<T>(shape.soft_cap * std::numbers::log2e),
          .slope = static_cast<T>(SlopeOf<double>(shape, tile.head.h) * std::numbers::log2e),
          .first_distance = static_cast<T>(tile.queries.begin - keys.begin)};
}

// One worker's part of the workspace.
template <typename T>
struct Scratch {
  T *q, *k, *v, *d_o;                 // (kFlashTile, padded)
  T *dq, *dk, *dv;                    // the same; dq serves forward's o as well
  T *q_turned, *d_o_turned;           // (D, kFlashTile)
  T *scores, *gradients, *slopes;     // (kFlashTile keys, kFlashTile queries)
  std::array<T, kFlashTile> factors;  // of the queries
  SoftmaxState<T> state;              // the same
};

template <typename T>
Scratch<T> ScratchOf(const Tensor& workspace, int64_t D, int worker) {
  T* next = workspace.as<T>() + worker * planner::FlashAttentionWorkerElements(D);
  const auto take = [&](int64_t count) { return std::exchange(next, next + count); };
  Scratch<T> s;
  for (T** tile : {&s.q, &s.k, &s.v, &s.d_o, &s.dq, &s.dk, &s.dv}) {
    *tile = take(kFlashTile * PaddedSize(D));
  }
  for (T** tile : {&s.q_turned, &s.d_o_turned}) *tile = take(kFlashTile * D);
  for (T** tile : {&s.scores, &s.gradients, &s.slopes}) *tile = take(kFlashTile * kFlashTile);
  return s;
}

// Where a tile of keys and a tile of queries are the same tokens, half of the pairs are hidden, and products leave out a quarter of the tile:
// keys from this index on with queries below it.
constexpr int64_t kHalf = kFlashTile / 2;

bool HasHiddenQuarter(const QueryTile& tile, Span keys) {
  return keys.begin == tile.queries.begin && keys.size() > kHalf;
}

// scores (keys, kFlashTile) = x turned, turned (D, kFlashTile).
template <typename T>
void ScoreProduct(const QueryTile& tile, Span keys, int64_t D, Operand<T> x, const T* turned,
                  T* scores) {
  TileProduct<T> p{.m = keys.size(),
                   .n = kFlashTile,
                   .k = D,
                   .a = x.data,
                   .a_row_stride = x.stride,
                   .b = turned,
                   .b_stride = kFlashTile,
                   .c = scores,
                   .c_stride = kFlashTile};
  if (HasHiddenQuarter(tile, keys)) {
    p.m = kHalf;
    RunTileProduct(p);
    p.m = keys.size() - kHalf;
    p.n = kHalf;
    p.a += kHalf * x.stride;
    p.b += kHalf;
    p.c += kHalf * kFlashTile + kHalf;
  }
  RunTileProduct(p);
}

// y (queries, padded) += scores^T x, x (keys, padded).
template <typename T>
void AddToQueries(const QueryTile& tile, Span keys, int64_t D, const T* scores, Operand<T> x,
                  T* y) {
  const int64_t padded = PaddedSize(D), query_count = tile.queries.size();
  TileProduct<T> p{.m = query_count,
                   .n = padded,
                   .k = keys.size(),
                   .a = scores,
                   .a_row_stride = 1,
                   .a_column_stride = kFlashTile,
                   .b = x.data,
                   .b_stride = x.stride,
                   .c = y,
                   .c_stride = padded,
                   .accumulate = true};
  if (HasHiddenQuarter(tile, keys)) {
    p.m = kHalf;
    p.k = kHalf;
    RunTileProduct(p);
    p.m = query_count - kHalf;
    p.k = keys.size();
    p.a += kHalf;
    p.c += kHalf * padded;
  }
  RunTileProduct(p);
}

// y (keys, padded) = scores x, x (queries, padded).
template <typename T>
void ProductForKeys(const QueryTile& tile, Span keys, int64_t D, const T* scores, Operand<T> x,
                    T* y) {
  const int64_t padded = PaddedSize(D), query_count = tile.queries.size();
  TileProduct<T> p{.m = keys.size(),
                   .n = padded,
                   .k = query_count,
                   .a = scores,
                   .a_row_stride = kFlashTile,
                   .b = x.data,
                   .b_stride = x.stride,
                   .c = y,
                   .c_stride = padded};
  if (HasHiddenQuarter(tile, keys)) {
    p.m = kHalf;
    RunTileProduct(p);
    p.m = keys.size() - kHalf;
    p.k = query_count - kHalf;
    p.a += kHalf * kFlashTile + kHalf;
    p.b += kHalf * x.stride;
    p.c += kHalf * padded;
  }
  RunTileProduct(p);
}

template <typename S>
void ForwardTile(const FlashAttentionArgs& args, const QueryTile& tile,
                 Scratch<Arithmetic<S>> scratch) {
  using T = Arithmetic<S>;
  const AttentionShape& shape = args.shape;
  const HeadItem& head = tile.head;
  const int64_t D = shape.head_size, padded = PaddedSize(D), count = tile.queries.size();
  const auto k = HeadRows<const S>(args.k, shape, head.b, head.kv);
  const auto v = HeadRows<const S>(args.v, shape, head.b, head.kv);
  TurnRound<S>(HeadRows<const S>(args.q, shape, head.b, head.h), tile.queries, D,
               static_cast<T>(shape.scale * std::numbers::log2e), scratch.q_turned);
  std::fill_n(scratch.state.maxima, kFlashTile, -std::numeric_limits<T>::infinity());
  std::fill_n(scratch.state.sums, kFlashTile, T{0});
  T* const sums = scratch.dq;
  std::fill_n(sums, count * padded, T{0});
  for (int64_t index = tile.least_first_key / kFlashTile; index <= tile.index; ++index) {
    const Span keys = TileAt(index, shape.context);
    ScoreProduct(tile, keys, D, Load<S>(k, keys, D, scratch.k), scratch.q_turned, scratch.scores);
    const TileChange<T> change = ChangeOf<T>(shape, tile, keys);
    if (!change.none()) ChangeScores(keys.size(), change, scratch.scores);
    if (SoftmaxTile(keys.size(), VisibleIn(tile, keys), scratch.scores, scratch.state,
                    scratch.factors.data())) {
      for (int64_t r = 0; r < count; ++r) RowScale(sums + r * padded, D, scratch.factors[r]);
    }
    AddToQueries(tile, keys, D, scratch.scores, Load<S>(v, keys, D, scratch.v), sums);
  }
  const auto o = HeadRows<S>(args.o, shape, head.b, head.h);
  T* log_sum_exp = args.log_sum_exp.as<T>() + (head.b * shape.head_count + head.h) * shape.context +
                   tile.queries.begin;
  for (int64_t r = 0; r < count; ++r) {
    StoreScaled(sums + r * padded, D, T{1} / scratch.state.sums[r], o.row(tile.queries.begin + r));
    log_sum_exp[r] =
        scratch.state.maxima[r] * std::numbers::ln2_v<T> + std::log(scratch.state.sums[r]);
  }
}

// Where the gradients of keys and values are summed: (BT, K * D) T.
template <typename T>
struct KeyGradients {
  Rows<T> dk;
  Rows<T> dv;
};

template <typename T>
void AddTile(const T* tile, Span keys, int64_t D, bool overwrites, Rows<T> gradients) {
  for (int64_t j = 0; j < keys.size(); ++j) {
    T* gradient = gradients.row(keys.begin + j);
    if (overwrites) {
      std::copy_n(tile + j * PaddedSize(D), D, gradient);
    } else {
      RowAddScaled(tile + j * PaddedSize(D), D, T{1}, gradient);
    }
  }
}

// What backward does with one tile of queries.
template <typename S, typename T = Arithmetic<S>>
class BackwardTile {
 public:
  BackwardTile(const FlashAttentionBackwardArgs& args, const QueryTile& tile, int64_t turn,
               KeyGradients<T> sums, const Scratch<T>& scratch)
      : args_(args),
        shape_(args.shape),
        tile_(tile),
        turn_(turn),
        D_(shape_.head_size),
        s_(scratch),
        k_(HeadRows<const S>(args.k, shape_, tile.head.b, tile.head.kv)),
        v_(HeadRows<const S>(args.v, shape_, tile.head.b, tile.head.kv)),
        dk_(KeyRows(sums.dk)),
        dv_(KeyRows(sums.dv)) {}

  void Run(Turns& turns) {
    LoadQueries();
    const int64_t first_turn = (tile_.head.b * shape_.kv_head_count + tile_.head.kv) *
                               CeilDivide(shape_.context, kFlashTile);
    for (int64_t index = 0; index <= tile_.index; ++index) {
      const Span keys = TileAt(index, shape_.context);
      const bool sees = keys.end > tile_.least_first_key;
      if (sees) ComputeTile(keys);
      turns.Wait(first_turn + index, turn_);
      if (sees) {
        AddTile(s_.dk, keys, D_, turn_ == 0, dk_);
        AddTile(s_.dv, keys, D_, turn_ == 0, dv_);
      } else if (turn_ == 0) {
        Clear(keys);
      }
      turns.Finish(first_turn + index, turn_);
    }
    const auto dq = HeadRows<S>(args_.dq, shape_, tile_.head.b, tile_.head.h);
    for (int64_t r = 0; r < tile_.queries.size(); ++r) {
      StoreScaled(s_.dq + r * PaddedSize(D_), D_, T{1}, dq.row(tile_.queries.begin + r));
    }
  }

 private:
  Rows<T> KeyRows(Rows<T> sums) const {
    return {sums.row(tile_.head.b * shape_.context) + tile_.head.kv * D_, sums.stride};
  }

  void LoadQueries() {
    const HeadItem& head = tile_.head;
    const Span queries = tile_.queries;
    const auto q = HeadRows<const S>(args_.q, shape_, head.b, head.h);
    const auto o = HeadRows<const S>(args_.o, shape_, head.b, head.h);
    const auto d_o = HeadRows<const S>(args_.d_o, shape_, head.b, head.h);
    TurnRound<S>(q, queries, D_, static_cast<T>(shape_.scale * std::numbers::log2e), s_.q_turned);
    TurnRound<S>(d_o, queries, D_, T{1}, s_.d_o_turned);
    q_ = Load<S>(q, queries, D_, s_.q);
    d_o_ = Load<S>(d_o, queries, D_, s_.d_o);
    const T* log_sum_exp = args_.log_sum_exp.as<T>() +
                           (head.b * shape_.head_count + head.h) * shape_.context + queries.begin;
    log_sums_.fill(T{0});
    projections_.fill(T{0});
    for (int64_t r = 0; r < queries.size(); ++r) {
      log_sums_[r] = log_sum_exp[r] * std::numbers::log2e_v<T>;
      projections_[r] = Dot(d_o.row(queries.begin + r), o.row(queries.begin + r), D_);
    }
    std::fill_n(s_.dq, queries.size() * PaddedSize(D_), T{0});
  }

  // Adds to dq, and leaves the tile's share of dk and dv in scratch.
  void ComputeTile(Span keys) {
    const Operand<T> k = Load<S>(k_, keys, D_, s_.k), v = Load<S>(v_, keys, D_, s_.v);
    ScoreProduct(tile_, keys, D_, k, s_.q_turned, s_.scores);
    ScoreProduct(tile_, keys, D_, v, s_.d_o_turned, s_.gradients);
    const TileChange<T> change = ChangeOf<T>(shape_, tile_, keys);
    if (!change.none()) ChangeScores(keys.size(), change, s_.scores);
    if (change.cap > 0) CapSlopes(keys.size(), change, s_.scores, s_.slopes);
    SoftmaxBackwardTile(keys.size(), VisibleIn(tile_, keys), static_cast<T>(shape_.scale),
                        log_sums_.data(), projections_.data(), s_.scores, s_.gradients);
    if (change.cap > 0) MultiplyTile(keys.size(), s_.slopes, s_.gradients);
    AddToQueries(tile_, keys, D_, s_.gradients, k, s_.dq);
    ProductForKeys(tile_, keys, D_, s_.scores, d_o_, s_.dv);
    ProductForKeys(tile_, keys, D_, s_.gradients, q_, s_.dk);
  }

  void Clear(Span keys) {
    for (int64_t j = keys.begin; j < keys.end; ++j) {
      std::fill_n(dk_.row(j), D_, T{0});
      std::fill_n(dv_.row(j), D_, T{0});
    }
  }

  const FlashAttentionBackwardArgs& args_;
  const AttentionShape& shape_;
  const QueryTile& tile_;
  const int64_t turn_;
  const int64_t D_;
  const Scratch<T>& s_;
  const Rows<const S> k_, v_;
  const Rows<T> dk_, dv_;
  Operand<T> q_ = {}, d_o_ = {};
  std::array<T, kFlashTile> log_sums_, projections_;  // of the queries
};

template <typename S>
void RoundAll(ThreadPool& threads, Rows<Arithmetic<S>> x, const Tensor& y) {
  const int64_t width = y.dims[1];
  threads.ForRanges(y.dims[0], RowGrain(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      StoreScaled(x.row(i), width, Arithmetic<S>{1}, y.as<S>() + i * y.row_stride());
  });
}

// Items, first to last: the last queries see the most keys and go first, so that threads end together; heads of a group lie B * K apart, so that
// threads seldom wait for each other. `pair` names row and key/value head; the items of a pair take turns in the order of `turn`.
template <typename S>
void BackwardAll(ThreadPool& threads, int workers, const FlashAttentionBackwardArgs& args,
                 KeyGradients<Arithmetic<S>> sums) {
  const AttentionShape& shape = args.shape;
  const int64_t B = args.q.dims[0] / shape.context, tiles = CeilDivide(shape.context, kFlashTile);
  const int64_t pairs = B * shape.kv_head_count, groups = shape.head_count / shape.kv_head_count;
  Turns turns(pairs * tiles);
  threads.ForEach(pairs * groups * tiles, workers, [&](int64_t item, int worker) {
    const int64_t turn = item / pairs;
    const QueryTile tile = TileOfQueries(shape, args.document_starts,
                                         HeadOfItem(shape, item % pairs + turn % groups * pairs, B),
                                         tiles - 1 - turn / groups);
    BackwardTile<S>(args, tile, turn, sums,
                    ScratchOf<Arithmetic<S>>(args.workspace, shape.head_size, worker))
        .Run(turns);
  });
}

}  // namespace

absl::Status FlashAttention(ThreadPool& threads, const FlashAttentionArgs& args) {
  const AttentionShape& shape = args.shape;
  const int64_t D = shape.head_size, B = args.q.dims[0] / shape.context;
  TUNESMITH_ASSIGN_OR_RETURN(
      const int workers,
      WorkerCount(OpKind::kFlashAttention, args.workspace, StatisticsDType(args.q.dtype),
                  planner::FlashAttentionWorkerElements(D)));
  TUNESMITH_RETURN_IF_ERROR(
      CheckDocumentStarts(OpKind::kFlashAttention, args.document_starts, shape.context));
  const int64_t tiles = CeilDivide(shape.context, kFlashTile), heads = B * shape.head_count;
  return VisitStorage(OpKind::kFlashAttention, args.q.dtype, [&](auto storage) {
    using S = decltype(storage);
    // The last queries see the most keys; they go first, so that threads end together.
    threads.ForEach(tiles * heads, workers, [&](int64_t item, int worker) {
      ForwardTile<S>(args,
                     TileOfQueries(shape, args.document_starts, HeadOfItem(shape, item % heads, B),
                                   tiles - 1 - item / heads),
                     ScratchOf<Arithmetic<S>>(args.workspace, D, worker));
    });
    return absl::OkStatus();
  });
}

absl::Status FlashAttentionBackward(ThreadPool& threads, const FlashAttentionBackwardArgs& args) {
  const int64_t key_elements = args.k.element_count();
  const int64_t gradient_elements = planner::FlashAttentionGradientElements(
      key_elements, args.k.dtype != StatisticsDType(args.k.dtype));
  TUNESMITH_ASSIGN_OR_RETURN(
      const int workers,
      WorkerCount(OpKind::kFlashAttentionBackward, args.workspace, StatisticsDType(args.q.dtype),
                  planner::FlashAttentionWorkerElements(args.shape.head_size), gradient_elements));
  TUNESMITH_RETURN_IF_ERROR(CheckDocumentStarts(OpKind::kFlashAttentionBackward,
                                                args.document_starts, args.shape.context));
  return VisitStorage(OpKind::kFlashAttentionBackward, args.q.dtype, [&](auto storage) {
    using S = decltype(storage);
    using T = Arithmetic<S>;
    if constexpr (std::is_same_v<S, T>) {
      BackwardAll<S>(
          threads, workers, args,
          {{args.dk.as<T>(), args.dk.row_stride()}, {args.dv.as<T>(), args.dv.row_stride()}});
    } else {
      // Behind the workers' parts.
      T* const sums = args.workspace.as<T>() + args.workspace.element_count() - gradient_elements;
      const int64_t width = args.k.dims[1];
      const KeyGradients<T> wide = {{sums, width}, {sums + key_elements, width}};
      BackwardAll<S>(threads, workers, args, wide);
      RoundAll<S>(threads, wide.dk, args.dk);
      RoundAll<S>(threads, wide.dv, args.dv);
    }
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
