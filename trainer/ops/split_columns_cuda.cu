#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/split_columns_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// Of the matrix: `rows` of C columns; of the parts: part_count times as many of W, `copies` of which hold the same columns. Widths in packs.
struct Shape {
  RowThreads threads;  // of a row that is written
  int64_t rows;
  int part_count, copies, C, W;
};

template <typename T, int kPack>
__global__ void SplitKernel(Shape s, const Pack<T, kPack>* x, Pack<T, kPack>* parts) {
  const RowPlace place = s.threads.Place();
  if (place.row >= s.part_count * s.rows) return;
  const int part = static_cast<int>(place.row / s.rows);
  const Pack<T, kPack>* const from = x + (place.row - part * s.rows) * s.C + part / s.copies * s.W;
#pragma unroll 4
  for (int i = place.thread; i < s.W; i += place.threads) parts[place.row * s.W + i] = from[i];
}

template <typename T, int kPack>
__global__ void JoinKernel(Shape s, const Pack<T, kPack>* parts, Pack<T, kPack>* x) {
  const RowPlace place = s.threads.Place();
  if (place.row >= s.rows) return;
  for (int i = place.thread; i < s.C; i += place.threads) {
    const int first_part = i / s.W * s.copies;
    float sums[kPack] = {};
    for (int copy = 0; copy < s.copies; ++copy) {
      const int64_t row = (first_part + copy) * s.rows + place.row;
      const Pack<T, kPack> part = parts[row * s.W + i % s.W];
      for (int j = 0; j < kPack; ++j) sums[j] += ToFloat(part.values[j]);
    }
    Pack<T, kPack> sum;
    for (int j = 0; j < kPack; ++j) sum.values[j] = FromFloat<T>(sums[j]);
    x[place.row * s.C + i] = sum;
  }
}

// With the threads of rows that are `width` wide.
template <int kPack>
Shape ShapeOf(const Tensor& x, const Tensor& parts, int64_t part_count, int64_t width) {
  const int64_t C = x.dims[1], W = parts.dims[1];
  return {.threads = RowThreadsFor(width / kPack),
          .rows = x.dims[0],
          .part_count = static_cast<int>(part_count),
          .copies = static_cast<int>(part_count * W / C),
          .C = static_cast<int>(C / kPack),
          .W = static_cast<int>(W / kPack)};
}

}  // namespace

// Packs divide the parts' rows, and so the matrix's, of which they are parts.
absl::Status SplitColumns(CudaContext& cuda, const SplitColumnsArgs& args) {
  const int64_t width = args.parts.dims[1];
  if (args.parts.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(width, {args.x.data, args.parts.data}, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const Shape shape = ShapeOf<pack.value>(args.x, args.parts, args.part_count, width);
      return LaunchKernel(SplitKernel<T, pack.value>, shape.threads.ShapeFor(args.parts.dims[0]),
                          cuda.impl().stream.get(), shape, args.x.as<const P>(),
                          args.parts.as<P>());
    });
  });
}

absl::Status JoinColumns(CudaContext& cuda, const JoinColumnsArgs& args) {
  if (args.x.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(args.parts.dims[1], {args.x.data, args.parts.data}, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const Shape shape = ShapeOf<pack.value>(args.x, args.parts, args.part_count, args.x.dims[1]);
      return LaunchKernel(JoinKernel<T, pack.value>, shape.threads.ShapeFor(args.x.dims[0]),
                          cuda.impl().stream.get(), shape, args.parts.as<const P>(),
                          args.x.as<P>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
