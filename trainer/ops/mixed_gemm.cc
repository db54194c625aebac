#include "trainer/ops/mixed_gemm.h"

#include <algorithm>
#include <type_traits>

#include "common/str_cat.h"
#include "common/units.h"
#include "planner/program/linear_workspace.h"
#include "trainer/ops/grain.h"
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

// The sum over slices of k, into `product`.
template <typename S, typename A>
void MultiplyTile(const Blas& blas, const MixedGemm<S, A>& g, const LinearTile& tile,
                  const Part& part, float* scratch, float* product, int64_t product_stride) {
  float* const scratch_b = scratch + tile.rows * tile.depth;
  for (int64_t k = 0; k < g.k; k += tile.depth) {
    const int64_t depth = std::min(tile.depth, g.k - k);
    const Operand a =
        g.transpose_a
            ? Widen(g.a + k * g.a_stride + part.row, g.a_stride, depth, part.rows, scratch)
            : Widen(g.a + part.row * g.a_stride + k, g.a_stride, part.rows, depth, scratch);
    const Operand b =
        g.transpose_b
            ? Widen(g.b + part.column * g.b_stride + k, g.b_stride, part.columns, depth, scratch_b)
            : Widen(g.b + k * g.b_stride + part.column, g.b_stride, depth, part.columns, scratch_b);
    RunGemm(blas, Gemm<float>{.transpose_a = g.transpose_a,
                              .transpose_b = g.transpose_b,
                              .m = part.rows,
                              .n = part.columns,
                              .k = depth,
                              .alpha = g.alpha,
                              .a = a.data,
                              .a_stride = a.stride,
                              .b = b.data,
                              .b_stride = b.stride,
                              .beta = k == 0 ? 0.0f : 1.0f,
                              .c = product,
                              .c_stride = product_stride});
  }
}

template <typename S, typename A>
void ComputeTile(const Blas& blas, const MixedGemm<S, A>& g, const LinearTile& tile,
                 const Part& part, float* scratch) {
  float* const product = scratch + tile.rows * tile.depth + tile.depth * tile.columns;
  MultiplyTile(blas, g, tile, part, scratch, product, part.columns);
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
