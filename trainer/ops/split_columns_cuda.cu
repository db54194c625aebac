#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/split_columns_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// Of the matrix: N rows of C columns; of the parts: S * N rows of W, `copies` of which hold the same columns.
struct Shape {
  int64_t N, C, W, copies;
};

// A thread per N consecutive elements of the parts.
template <typename T, int kPack>
__global__ void SplitKernel(int64_t count, Shape s, const T* x, T* parts) {
  const int64_t i = GlobalThread() * kPack;
  if (i >= count) return;
  const int64_t row = i / s.W, column = i % s.W;
  const int64_t from = row % s.N * s.C + row / s.N / s.copies * s.W + column;
  *reinterpret_cast<Pack<T, kPack>*>(parts + i) =
      *reinterpret_cast<const Pack<T, kPack>*>(x + from);
}

// A thread per N consecutive elements of the matrix.
template <typename T, int kPack>
__global__ void JoinKernel(int64_t count, Shape s, const T* parts, T* x) {
  const int64_t i = GlobalThread() * kPack;
  if (i >= count) return;
  const int64_t n = i / s.C, block = i % s.C / s.W, column = i % s.C % s.W;
  float sums[kPack] = {};
  for (int64_t copy = 0; copy < s.copies; ++copy) {
    const int64_t from = ((block * s.copies + copy) * s.N + n) * s.W + column;
    const auto part = *reinterpret_cast<const Pack<T, kPack>*>(parts + from);
    for (int j = 0; j < kPack; ++j) sums[j] += ToFloat(part.values[j]);
  }
  Pack<T, kPack> sum;
  for (int j = 0; j < kPack; ++j) sum.values[j] = FromFloat<T>(sums[j]);
  *reinterpret_cast<Pack<T, kPack>*>(x + i) = sum;
}

Shape ShapeOf(const Tensor& x, const Tensor& parts, int64_t part_count) {
  const int64_t C = x.dims[1], W = parts.dims[1];
  return {.N = x.dims[0], .C = C, .W = W, .copies = part_count * W / C};
}

// visit(element, pack): 16 bytes at once where rows of W elements and both addresses allow.
template <typename Visit>
absl::Status VisitPacked(const Tensor& x, const Tensor& parts, Visit visit) {
  return VisitFloat(x.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kPack = 16 / sizeof(T);
    if (CanPack<T, kPack>(parts.dims[1], {x.data, parts.data}))
      return visit(element, std::integral_constant<int, kPack>());
    return visit(element, std::integral_constant<int, 1>());
  });
}

}  // namespace

absl::Status SplitColumns(CudaContext& cuda, const SplitColumnsArgs& args) {
  const int64_t count = args.parts.element_count();
  if (count == 0) return absl::OkStatus();
  const Shape shape = ShapeOf(args.x, args.parts, args.part_count);
  return VisitPacked(args.x, args.parts, [&](auto element, auto pack) {
    using T = decltype(element);
    return LaunchKernel(SplitKernel<T, pack.value>, {.grid = BlockCount(count / pack.value)},
                        cuda.impl().stream.get(), count, shape, args.x.as<T>(), args.parts.as<T>());
  });
}

absl::Status JoinColumns(CudaContext& cuda, const JoinColumnsArgs& args) {
  const int64_t count = args.x.element_count();
  if (count == 0) return absl::OkStatus();
  const Shape shape = ShapeOf(args.x, args.parts, args.part_count);
  return VisitPacked(args.x, args.parts, [&](auto element, auto pack) {
    using T = decltype(element);
    return LaunchKernel(JoinKernel<T, pack.value>, {.grid = BlockCount(count / pack.value)},
                        cuda.impl().stream.get(), count, shape, args.parts.as<T>(), args.x.as<T>());
  });
}

}  // namespace tunesmith::trainer::cuda
