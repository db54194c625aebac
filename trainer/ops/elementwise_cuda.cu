#include <cuda_fp16.h>

#include <algorithm>

#include "common/status_macros.h"
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

constexpr int kCapLoads = 2;  // packs of a thread

template <typename T, int N>
__global__ void CapKernel(int64_t pack_count, float cap, Pack<T, N>* x) {
  const float inverse = 1.0f / cap;
  Pack<T, N> packs[kCapLoads];
  ForThreadPacks<kCapLoads>(pack_count, [&](int l, int64_t i) { packs[l] = x[i]; });
  ForThreadPacks<kCapLoads>(pack_count, [&](int l, int64_t i) {
    for (T& value : packs[l].values) value = FromFloat<T>(cap * tanhf(ToFloat(value) * inverse));
    x[i] = packs[l];
  });
}

// The wider of both types is 16 bytes in a pack, so that a warp reads and writes whole lines.
template <typename From, typename To>
constexpr int kConvertPack = 16 / std::max(sizeof(From), sizeof(To));
constexpr int kConvertLoads = 4;  // packs of a thread

template <typename From, typename To, int N>
__global__ void ConvertKernel(int64_t pack_count, const Pack<From, N>* x, Pack<To, N>* y) {
  Pack<From, N> packs[kConvertLoads];
  ForThreadPacks<kConvertLoads>(pack_count, [&](int l, int64_t i) { packs[l] = x[i]; });
  ForThreadPacks<kConvertLoads>(pack_count, [&](int l, int64_t i) {
    Pack<To, N> out;
    for (int j = 0; j < N; ++j)
      out.values[j] = static_cast<To>(static_cast<float>(packs[l].values[j]));
    y[i] = out;
  });
}

template <typename From, typename To, int N>
absl::Status LaunchConvert(int64_t count, const void* x, void* y, cudaStream_t stream) {
  const int64_t pack_count = count / N;
  return LaunchKernel(ConvertKernel<From, To, N>,
                      {BlockCount(pack_count, kConvertLoads * kBlockSize)}, stream, pack_count,
                      static_cast<const Pack<From, N>*>(x), static_cast<Pack<To, N>*>(y));
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
    return VisitPacks<T>(count, {args.x.data, args.y.data}, [&](auto pack) {
      return LaunchAdd<T, pack.value>(count, args.x.data, args.y.data, stream);
    });
  });
}

absl::Status SoftCap(CudaContext& cuda, const SoftCapArgs& args) {
  const int64_t count = args.x.element_count();
  if (count == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(count, {args.x.data}, [&](auto pack) {
      const int64_t pack_count = count / pack.value;
      return LaunchKernel(CapKernel<T, pack.value>,
                          {BlockCount(pack_count, kCapLoads * kBlockSize)},
                          cuda.impl().stream.get(), pack_count, static_cast<float>(args.cap),
                          args.x.as<Pack<T, pack.value>>());
    });
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
    if (args.stream == StreamKind::kHostToDevice)
      TUNESMITH_RETURN_IF_ERROR(cuda.impl().AwaitHostMemory(stream));
    // Either side may be memory of the host: the addresses tell.
    CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(args.y.data, args.x.data,
                                         static_cast<size_t>(count * SizeOf(args.x.dtype)),
                                         cudaMemcpyDefault, stream));
    return absl::OkStatus();
  }
  return VisitStorage(args.x.dtype, [&](auto from) {
    return VisitStorage(args.y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      constexpr int kPack = kConvertPack<From, To>;
      if (CanPack<From, kPack>(count, {args.x.data}) && CanPack<To, kPack>(count, {args.y.data}))
        return LaunchConvert<From, To, kPack>(count, args.x.data, args.y.data, stream);
      return LaunchConvert<From, To, 1>(count, args.x.data, args.y.data, stream);
    });
  });
}

}  // namespace tunesmith::trainer::cuda
