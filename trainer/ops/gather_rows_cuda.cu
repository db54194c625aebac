#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/gather_rows_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// One block per named row. An index beyond the matrix gives NaN, which the loss then shows, rather
// than a read outside it.
template <typename T>
__global__ void GatherKernel(int64_t width, int64_t height, const int32_t* rows, const T* x, T* y) {
  const int64_t i = blockIdx.x;
  const int64_t row = rows[i];
  const float other = row < 0 ? 0.0f : NAN;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    y[i * width + c] = row >= 0 && row < height ? x[row * width + c] : FromFloat<T>(other);
  }
}

// One block per named row, into a matrix that was cleared.
template <typename T>
__global__ void ScatterKernel(int64_t width, int64_t height, const int32_t* rows, const T* dy,
                              T* dx) {
  const int64_t i = blockIdx.x;
  const int64_t row = rows[i];
  if (row < 0 || row >= height) return;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    dx[row * width + c] = dy[i * width + c];
  }
}

}  // namespace

absl::Status GatherRows(CudaContext& cuda, const GatherRowsArgs& args) {
  if (args.y.element_count() == 0) return absl::OkStatus();
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(GatherKernel<T>, {BlockCount(args.y.dims[0], 1)}, cuda.impl().stream.get(),
                        args.y.dims[1], args.x.dims[0], args.rows.as<const int32_t>(),
                        args.x.as<const T>(), args.y.as<T>());
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
    return LaunchKernel(ScatterKernel<T>, {BlockCount(args.dy.dims[0], 1)}, stream, args.dy.dims[1],
                        args.dx.dims[0], args.rows.as<const int32_t>(), args.dy.as<const T>(),
                        args.dx.as<T>());
  });
}

}  // namespace tunesmith::trainer::cuda
