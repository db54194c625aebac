#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/split_columns_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// Of the matrix: `height` rows of C columns; of the parts: as many of W, `copies` of which hold the same columns. Widths in packs.
struct Shape {
  int64_t height;
  int copies, C, W;
};

template <typename T, int N>
__global__ void SplitKernel(RowPacks<T, N> rows, Shape s, const Pack<T, N>* x, Pack<T, N>* parts) {
  const RowPlace place = rows.threads.Place();
  if (place.row >= rows.count) return;
  const int64_t part = place.row / s.height;
  const Pack<T, N>* const from = x + (place.row - part * s.height) * s.C + part / s.copies * s.W;
  HeldRows<T, N, 1> row({from}, s.W, place);
  row.ForEach([&](int i, const auto& packs) { parts[place.row * s.W + i] = packs[0]; });
}

// What a thread has of a row of the matrix at once, as sums over copies.
constexpr int kJoinPacks = 4;
template <int N>
using JoinSums = float[kJoinPacks][N];

// sums[j] += pack first + j * step of row `row`, of copy `copy` of the part that has it.
template <typename T, int N>
__device__ void AddCopy(const Shape& s, const Pack<T, N>* parts, int64_t row, int copy, int first,
                        int step, JoinSums<N>& sums) {
  LoadedPack<T, N> packs[kJoinPacks];
#pragma unroll
  for (int j = 0; j < kJoinPacks; ++j) {
    const int i = first + j * step;
    if (i >= s.C) continue;
    const int64_t part = i / s.W * s.copies + copy;
    packs[j] = LoadedPack<T, N>(parts[(part * s.height + row) * s.W + i % s.W]);
  }
#pragma unroll
  for (int j = 0; j < kJoinPacks; ++j) {
    if (first + j * step >= s.C) continue;
    const Pack<T, N> pack = packs[j].Unpacked();
    for (int e = 0; e < N; ++e) sums[j][e] += ToFloat(pack.values[e]);
  }
}

template <typename T, int N>
__global__ void JoinKernel(RowPacks<T, N> rows, Shape s, const Pack<T, N>* parts, Pack<T, N>* x) {
  const RowPlace place = rows.threads.Place();
  if (place.row >= rows.count) return;
  for (int first = place.thread; first < s.C; first += kJoinPacks * place.threads) {
    JoinSums<N> sums = {};
    for (int copy = 0; copy < s.copies; ++copy)
      AddCopy(s, parts, place.row, copy, first, place.threads, sums);
#pragma unroll
    for (int j = 0; j < kJoinPacks; ++j) {
      const int i = first + j * place.threads;
      if (i >= s.C) continue;
      Pack<T, N> sum;
      for (int e = 0; e < N; ++e) sum.values[e] = FromFloat<T>(sums[j][e]);
      x[place.row * s.C + i] = sum;
    }
  }
}

template <int N>
Shape ShapeOf(const Tensor& x, const Tensor& parts, int64_t part_count) {
  const int64_t C = x.dims[1], W = parts.dims[1];
  return {.height = x.dims[0],
          .copies = static_cast<int>(part_count * W / C),
          .C = static_cast<int>(C / N),
          .W = static_cast<int>(W / N)};
}

}  // namespace

absl::Status SplitColumns(CudaContext& cuda, const SplitColumnsArgs& args) {
  return VisitRows(
      args.x.dtype, args.parts.dims[0], args.parts.dims[1], {args.x.data, args.parts.data},
      [&]<typename T, int N>(const RowPacks<T, N>& rows) {
        return LaunchKernel(SplitKernel<T, N>, rows.launch_shape(), cuda.impl().stream.get(), rows,
                            ShapeOf<N>(args.x, args.parts, args.part_count),
                            args.x.as<const Pack<T, N>>(), args.parts.as<Pack<T, N>>());
      });
}

// Packs divide the parts' rows, and so the matrix's, of which they are parts.
absl::Status JoinColumns(CudaContext& cuda, const JoinColumnsArgs& args) {
  return VisitRows(args.x.dtype, args.x.dims[0], args.parts.dims[1], {args.x.data, args.parts.data},
                   [&]<typename T, int N>(const RowPacks<T, N>&) {
                     const Shape shape = ShapeOf<N>(args.x, args.parts, args.part_count);
                     const RowPacks<T, N> rows = {RowThreadsFor(shape.C), shape.height, shape.C};
                     return LaunchKernel(
                         JoinKernel<T, N>, rows.launch_shape(), cuda.impl().stream.get(), rows,
                         shape, args.parts.as<const Pack<T, N>>(), args.x.as<Pack<T, N>>());
                   });
}

}  // namespace tunesmith::trainer::cuda
