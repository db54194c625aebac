#include <cuda_fp16.h>

#include <type_traits>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/elementwise_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

template <typename T, int N>
__global__ void AddKernel(int64_t pack_count, const Pack<T, N>* x, Pack<T, N>* y) {
  const int64_t i = GlobalThread();
  if (i >= pack_count) return;
  const Pack<T, N> in = x[i];
  Pack<T, N> out = y[i];
  for (int j = 0; j < N; ++j) {
    out.values[j] = FromFloat<T>(ToFloat(out.values[j]) + ToFloat(in.values[j]));
  }
  y[i] = out;
}

template <typename T, int N>
absl::Status LaunchAdd(int64_t count, const void* x, void* y, cudaStream_t stream) {
  const int64_t pack_count = count / N;
  return LaunchKernel(AddKernel<T, N>, {BlockCount(pack_count)}, stream, pack_count,
                      static_cast<const Pack<T, N>*>(x), static_cast<Pack<T, N>*>(y));
}

template <typename T>
__global__ void CapKernel(int64_t count, float cap, T* x) {
  const int64_t i = GlobalThread();
  if (i < count) x[i] = FromFloat<T>(cap * tanhf(ToFloat(x[i]) / cap));
}

template <typename From, typename To>
__global__ void ConvertKernel(int64_t count, const From* x, To* y) {
  const int64_t i = GlobalThread();
  if (i < count) y[i] = static_cast<To>(static_cast<float>(x[i]));
}

template <typename From, typename To>
absl::Status LaunchConvert(int64_t count, const void* x, void* y, cudaStream_t stream) {
  return LaunchKernel(ConvertKernel<From, To>, {BlockCount(count)}, stream, count,
                      static_cast<const From*>(x), static_cast<To*>(y));
}

// VisitFloat and f16, which only copies may have.
template <typename Visitor>
absl::Status VisitStorage(DType dtype, Visitor visitor) {
  if (dtype == DType::kF16) return visitor(__half());
  return VisitFloat(dtype, visitor);
}

}  // namespace

absl::Status Add(CudaContext& cuda, const AddArgs& args) {
  const int64_t count = args.y.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().StreamOf(args.stream);
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kPack = 16 / sizeof(T);
    if (CanPack<T, kPack>(count, {args.x.data, args.y.data}))
      return LaunchAdd<T, kPack>(count, args.x.data, args.y.data, stream);
    return LaunchAdd<T, 1>(count, args.x.data, args.y.data, stream);
  });
}

absl::Status SoftCap(CudaContext& cuda, const SoftCapArgs& args) {
  const int64_t count = args.x.element_count();
  if (count == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    return LaunchKernel(CapKernel<decltype(element)>, {BlockCount(count)}, cuda.impl().stream.get(),
                        count, static_cast<float>(args.cap), args.x.as<decltype(element)>());
  });
}

absl::Status Clear(CudaContext& cuda, const ClearArgs& args) {
  const int64_t bytes = args.y.element_count() * SizeOf(args.y.dtype);
  if (bytes == 0) return absl::OkStatus();
  CUDA_RETURN_IF_ERROR(
      cudaMemsetAsync(args.y.data, 0, static_cast<size_t>(bytes), cuda.impl().stream.get()));
  return absl::OkStatus();
}

absl::Status Copy(CudaContext& cuda, const CopyArgs& args) {
  const int64_t count = args.x.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().StreamOf(args.stream);
  if (args.x.dtype == args.y.dtype) {
    // Either side may be pinned memory of the host: the addresses tell.
    CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(args.y.data, args.x.data,
                                         static_cast<size_t>(count * SizeOf(args.x.dtype)),
                                         cudaMemcpyDefault, stream));
    return absl::OkStatus();
  }
  return VisitStorage(args.x.dtype, [&](auto from) {
    return VisitStorage(args.y.dtype, [&](auto to) {
      return LaunchConvert<decltype(from), decltype(to)>(count, args.x.data, args.y.data, stream);
    });
  });
}

}  // namespace tunesmith::trainer::cuda
