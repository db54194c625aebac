#include "trainer/ops/mixed_gemm.h"

#include <algorithm>
#include <cassert>
#include <type_traits>

#include "common/str_cat.h"
#include "common/units.h"
#include "planner/program/linear_workspace.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/pair_product.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::LinearTile;

// A matrix of f32 that sgemm can read.
struct Operand {
  const float* data = nullptr;
  int64_t stride = 0;
};

TUNESMITH_VECTOR_CLONES void WidenRow(const Bf16* x, int64_t count, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = float(x[i]);
}

// Rows of bf16, side by side in scratch.
Operand Widen(const Bf16* x, int64_t stride, int64_t rows, int64_t columns, float* scratch) {
  for (int64_t i = 0; i < rows; ++i) WidenRow(x + i * stride, columns, scratch + i * columns);
  return {scratch, columns};
}

// f32 is read where it is.
Operand Widen(const float* x, int64_t stride, int64_t, int64_t, float*) { return {x, stride}; }

// c = alpha-scaled product + addend, rounded.
template <typename A>
TUNESMITH_VECTOR_CLONES void StoreRow(const float* product, int64_t count, A* c) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) c[i] = product[i];
}

template <typename A>
TUNESMITH_VECTOR_CLONES void StoreSumRow(const float* product, const A* addend, int64_t count,
                                         A* c) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) c[i] = product[i] + float(addend[i]);
}

template <typename A>
void Store(const float* product, const A* addend, int64_t count, A* c) {
  if (addend == nullptr) return StoreRow(product, count, c);
  StoreSumRow(product, addend, count, c);
}

// One tile of C, [row, row + rows) x [column, column + columns).
struct Part {
  int64_t row = 0, rows = 0;
  int64_t column = 0, columns = 0;
};

// A slice of k of a tile.
struct Slice {
  Part part;
  int64_t k = 0, depth = 0;
};

template <typename S, typename A>
const S* SliceOfA(const MixedGemm<S, A>& g, const Slice& s) {
  return g.a + (g.transpose_a ? s.k * g.a_stride + s.part.row : s.part.row * g.a_stride + s.k);
}

template <typename S, typename A>
const S* SliceOfB(const MixedGemm<S, A>& g, const Slice& s) {
  return g.b +
         (g.transpose_b ? s.part.column * g.b_stride + s.k : s.k * g.b_stride + s.part.column);
}

// product (part.rows, part.columns) += alpha * the slice's product; the first slice overwrites it.
template <typename S, typename A>
void MultiplyWidened(const Blas& blas, const MixedGemm<S, A>& g, const LinearTile& tile,
                     const Slice& s, float* scratch, float* product) {
  const Part& part = s.part;
  float* const scratch_b = scratch + tile.rows * tile.depth;
  const Operand a = g.transpose_a ? Widen(SliceOfA(g, s), g.a_stride, s.depth, part.rows, scratch)
                                  : Widen(SliceOfA(g, s), g.a_stride, part.rows, s.depth, scratch);
  const Operand b = g.transpose_b
                        ? Widen(SliceOfB(g, s), g.b_stride, part.columns, s.depth, scratch_b)
                        : Widen(SliceOfB(g, s), g.b_stride, s.depth, part.columns, scratch_b);
  RunGemm(blas, Gemm<float>{.transpose_a = g.transpose_a,
                            .transpose_b = g.transpose_b,
                            .m = part.rows,
                            .n = part.columns,
                            .k = s.depth,
                            .alpha = g.alpha,
                            .a = a.data,
                            .a_stride = a.stride,
                            .b = b.data,
                            .b_stride = b.stride,
                            .beta = s.k == 0 ? 0.0f : 1.0f,
                            .c = product,
                            .c_stride = part.columns});
}

// The same where both operands are bf16 and the processor multiplies them. Tiles are no smaller than 16 by 16: what is packed takes no more scratch than what
// would be widened.
template <typename A>
void MultiplyPairs(const MixedGemm<Bf16, A>& g, const Slice& s, float* scratch, float* product) {
  RunPairProduct({.transpose_a = g.transpose_a,
                  .transpose_b = g.transpose_b,
                  .m = s.part.rows,
                  .n = s.part.columns,
                  .k = s.depth,
                  .alpha = g.alpha,
                  .a = SliceOfA(g, s),
                  .a_stride = g.a_stride,
                  .b = SliceOfB(g, s),
                  .b_stride = g.b_stride,
                  .accumulate = s.k > 0,
                  .c = product,
                  .c_stride = s.part.columns},
                 scratch);
}

template <typename S, typename A>
void MultiplySlice(const Blas& blas, const MixedGemm<S, A>& g, const LinearTile& tile,
                   const Slice& s, float* scratch, float* product) {
  if constexpr (std::is_same_v<S, Bf16>) {
    assert(PairScratchElements(s.part.rows, s.depth) <=
           tile.rows * tile.depth + tile.depth * tile.columns);
    if (HasPairProducts()) return MultiplyPairs(g, s, scratch, product);
  }
  MultiplyWidened(blas, g, tile, s, scratch, product);
}

template <typename S, typename A>
void ComputeTile(const Blas& blas, const MixedGemm<S, A>& g, const LinearTile& tile,
                 const Part& part, float* scratch) {
  float* const product = scratch + tile.rows * tile.depth + tile.depth * tile.columns;
  for (int64_t k = 0; k < g.k; k += tile.depth)
    MultiplySlice(blas, g, tile, {part, k, std::min(tile.depth, g.k - k)}, scratch, product);
  for (int64_t i = 0; i < part.rows; ++i) {
    const A* addend =
        g.addend == nullptr ? nullptr : g.addend + (part.row + i) * g.addend_stride + part.column;
    Store(product + i * part.columns, addend, part.columns,
          g.c + (part.row + i) * g.c_stride + part.column);
  }
}

// An empty sum: C = addend.
template <typename S, typename A>
void StoreAddend(const MixedGemm<S, A>& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j)
      g.c[i * g.c_stride + j] = g.addend == nullptr ? A{} : g.addend[i * g.addend_stride + j];
  }
}

// One row, as in generation: bound by reading B, which is read as it is stored.
template <typename S, typename A>
void ComputeRow(ThreadPool& threads, const MixedGemm<S, A>& g) {
  threads.ForRanges(g.n, RowGrain(g.k), [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const float product = g.alpha * RowDot(g.a, g.b + j * g.b_stride, g.k);
      Store(&product, g.addend == nullptr ? nullptr : g.addend + j, 1, g.c + j);
    }
  });
}

}  // namespace

template <typename S, typename A>
absl::Status RunMixedGemm(planner::OpKind op, const Blas& blas, ThreadPool& threads,
                          const MixedGemm<S, A>& g, const Tensor& workspace) {
  if (g.m == 0 || g.n == 0) return absl::OkStatus();
  if (g.k == 0) {
    StoreAddend(g);
    return absl::OkStatus();
  }
  if (g.m == 1 && !g.transpose_a && g.transpose_b) {
    ComputeRow(threads, g);
    return absl::OkStatus();
  }
  const LinearTile tile = planner::LinearTileOf(g.m, g.n, g.k);
  const int64_t worker_count = workspace.data == nullptr || workspace.dtype != DType::kF32
                                   ? 0
                                   : workspace.element_count() / tile.WorkerElements();
  if (worker_count == 0) {
    return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": workspace has less than ",
                                             tile.WorkerElements(), " elements of f32"));
  }
  const int64_t column_tiles = CeilDivide(g.n, tile.columns);
  threads.ForEach(CeilDivide(g.m, tile.rows) * column_tiles,
                  static_cast<int>(std::min(worker_count, planner::kLinearWorkerCount)),
                  [&](int64_t item, int worker) {
                    const int64_t row = item / column_tiles * tile.rows;
                    const int64_t column = item % column_tiles * tile.columns;
                    ComputeTile(blas, g, tile,
                                {.row = row,
                                 .rows = std::min(tile.rows, g.m - row),
                                 .column = column,
                                 .columns = std::min(tile.columns, g.n - column)},
                                workspace.as<float>() + worker * tile.WorkerElements());
                  });
  return absl::OkStatus();
}

template absl::Status RunMixedGemm(planner::OpKind, const Blas&, ThreadPool&,
                                   const MixedGemm<Bf16, Bf16>&, const Tensor&);
template absl::Status RunMixedGemm(planner::OpKind, const Blas&, ThreadPool&,
                                   const MixedGemm<Bf16, float>&, const Tensor&);
template absl::Status RunMixedGemm(planner::OpKind, const Blas&, ThreadPool&,
                                   const MixedGemm<float, Bf16>&, const Tensor&);

}  // namespace tunesmith::trainer::cpu
