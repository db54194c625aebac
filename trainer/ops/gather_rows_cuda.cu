#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/gather_rows_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// An index beyond the matrix gives NaN, which the loss then shows, rather than a read outside it. `height`: rows that the matrix has.
template <typename T, int N>
__global__ void GatherKernel(RowPacks<T, N> named, int64_t height, const int32_t* rows,
                             const Pack<T, N>* x, Pack<T, N>* y) {
  const RowPlace place = named.threads.Place();
  if (place.row >= named.count) return;
  const int64_t row = rows[place.row];
  const bool exists = row >= 0 && row < height;
  Pack<T, N> other;
  for (T& value : other.values) value = FromFloat<T>(row < 0 ? 0.0f : NAN);
  HeldRows<T, N, 1, 1> held({exists ? x + row * named.packs : nullptr}, named.packs, place);
  held.ForEach([&](int i, const auto& packs) {
    y[place.row * named.packs + i] = exists ? packs[0] : other;
  });
}

// Into a matrix that was cleared.
template <typename T, int N>
__global__ void ScatterKernel(RowPacks<T, N> named, int64_t height, const int32_t* rows,
                              const Pack<T, N>* dy, Pack<T, N>* dx) {
  const RowPlace place = named.threads.Place();
  if (place.row >= named.count) return;
  const int64_t row = rows[place.row];
  if (row < 0 || row >= height) return;
  HeldRows<T, N, 1> held({dy + place.row * named.packs}, named.packs, place);
  held.ForEach([&](int i, const auto& packs) { dx[row * named.packs + i] = packs[0]; });
}

}  // namespace

absl::Status GatherRows(CudaContext& cuda, const GatherRowsArgs& args) {
  return VisitRows(args.y.dtype, args.y.dims[0], args.y.dims[1], {args.x.data, args.y.data},
                   [&]<typename T, int N>(const RowPacks<T, N>& named) {
                     return LaunchKernel(GatherKernel<T, N>, named.launch_shape(),
                                         cuda.impl().stream.get(), named, args.x.dims[0],
                                         args.rows.as<const int32_t>(),
                                         args.x.as<const Pack<T, N>>(), args.y.as<Pack<T, N>>());
                   });
}

absl::Status ScatterRows(CudaContext& cuda, const ScatterRowsArgs& args) {
  const cudaStream_t stream = cuda.impl().stream.get();
  const int64_t bytes = args.dx.element_count() * SizeOf(args.dx.dtype);
  if (bytes == 0) return absl::OkStatus();
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(args.dx.data, 0, static_cast<size_t>(bytes), stream));
  return VisitRows(args.dy.dtype, args.dy.dims[0], args.dy.dims[1], {args.dy.data, args.dx.data},
                   [&]<typename T, int N>(const RowPacks<T, N>& named) {
                     return LaunchKernel(ScatterKernel<T, N>, named.launch_shape(), stream, named,
                                         args.dx.dims[0], args.rows.as<const int32_t>(),
                                         args.dy.as<const Pack<T, N>>(), args.dx.as<Pack<T, N>>());
                   });
}

}  // namespace tunesmith::trainer::cuda
