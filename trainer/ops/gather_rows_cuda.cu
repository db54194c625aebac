#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/gather_rows_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

struct Dims {
  RowThreads threads;
  int64_t named, height;  // rows that are named, and that the matrix has
  int packs;              // of a row
};

// An index beyond the matrix gives NaN, which the loss then shows, rather than a read outside it.
template <typename T, int N>
__global__ void GatherKernel(Dims d, const int32_t* rows, const Pack<T, N>* x, Pack<T, N>* y) {
  const RowPlace place = d.threads.Place();
  if (place.row >= d.named) return;
  const int64_t row = rows[place.row];
  const bool exists = row >= 0 && row < d.height;
  Pack<T, N> other;
  for (T& value : other.values) value = FromFloat<T>(row < 0 ? 0.0f : NAN);
#pragma unroll 4
  for (int i = place.thread; i < d.packs; i += place.threads)
    y[place.row * d.packs + i] = exists ? x[row * d.packs + i] : other;
}

// Into a matrix that was cleared.
template <typename T, int N>
__global__ void ScatterKernel(Dims d, const int32_t* rows, const Pack<T, N>* dy, Pack<T, N>* dx) {
  const RowPlace place = d.threads.Place();
  if (place.row >= d.named) return;
  const int64_t row = rows[place.row];
  if (row < 0 || row >= d.height) return;
#pragma unroll 4
  for (int i = place.thread; i < d.packs; i += place.threads)
    dx[row * d.packs + i] = dy[place.row * d.packs + i];
}

template <int N>
Dims DimsFor(const Tensor& named, const Tensor& matrix) {
  const int64_t packs = matrix.dims[1] / N;
  return {.threads = RowThreadsFor(packs),
          .named = named.dims[0],
          .height = matrix.dims[0],
          .packs = static_cast<int>(packs)};
}

}  // namespace

absl::Status GatherRows(CudaContext& cuda, const GatherRowsArgs& args) {
  if (args.y.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(args.y.dims[1], {args.x.data, args.y.data}, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const Dims d = DimsFor<pack.value>(args.y, args.x);
      return LaunchKernel(GatherKernel<T, pack.value>, d.threads.ShapeFor(d.named),
                          cuda.impl().stream.get(), d, args.rows.as<const int32_t>(),
                          args.x.as<const P>(), args.y.as<P>());
    });
  });
}

absl::Status ScatterRows(CudaContext& cuda, const ScatterRowsArgs& args) {
  const cudaStream_t stream = cuda.impl().stream.get();
  const int64_t bytes = args.dx.element_count() * SizeOf(args.dx.dtype);
  if (bytes == 0) return absl::OkStatus();
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(args.dx.data, 0, static_cast<size_t>(bytes), stream));
  if (args.dy.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.dy.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(args.dy.dims[1], {args.dy.data, args.dx.data}, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const Dims d = DimsFor<pack.value>(args.dy, args.dx);
      return LaunchKernel(ScatterKernel<T, pack.value>, d.threads.ShapeFor(d.named), stream, d,
                          args.rows.as<const int32_t>(), args.dy.as<const P>(), args.dx.as<P>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
