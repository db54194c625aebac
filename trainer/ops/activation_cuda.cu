#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/activation_cuda.h"
#include "trainer/ops/activation_math.cuh"

// Each thread reads its elements of every input before it writes: outputs may be the inputs' storage.
namespace tunesmith::trainer::cuda {
namespace {

constexpr int kForwardLoads = 2;  // packs of a thread

template <typename T, int N>
__global__ void ForwardKernel(int64_t pack_count, planner::Activation activation,
                              const Pack<T, N>* x, Pack<T, N>* y) {
  Pack<T, N> packs[kForwardLoads];
  ForThreadPacks<kForwardLoads>(pack_count, [&](int l, int64_t i) { packs[l] = x[i]; });
  ForThreadPacks<kForwardLoads>(pack_count, [&](int l, int64_t i) {
    for (T& value : packs[l].values)
      value = FromFloat<T>(Activate(activation, ToFloat(value)).value);
    y[i] = packs[l];
  });
}

template <typename T, int N>
__global__ void BackwardKernel(int64_t pack_count, planner::Activation activation,
                               const Pack<T, N>* dy, const Pack<T, N>* x, Pack<T, N>* dx) {
  const int64_t i = GlobalThread();
  if (i >= pack_count) return;
  Pack<T, N> d = dy[i];
  const Pack<T, N> values = x[i];
  for (int j = 0; j < N; ++j) {
    const float slope = Activate(activation, ToFloat(values.values[j])).slope;
    d.values[j] = FromFloat<T>(ToFloat(d.values[j]) * slope);
  }
  dx[i] = d;
}

template <typename T, int N>
absl::Status LaunchForward(const ActivationArgs& args, cudaStream_t stream) {
  using P = Pack<T, N>;
  const int64_t pack_count = args.y.element_count() / N;
  return LaunchKernel(ForwardKernel<T, N>, {BlockCount(pack_count, kForwardLoads * kBlockSize)},
                      stream, pack_count, args.activation, args.x.as<const P>(), args.y.as<P>());
}

template <typename T, int N>
absl::Status LaunchBackward(const ActivationBackwardArgs& args, cudaStream_t stream) {
  using P = Pack<T, N>;
  const int64_t pack_count = args.dy.element_count() / N;
  return LaunchKernel(BackwardKernel<T, N>, {BlockCount(pack_count)}, stream, pack_count,
                      args.activation, args.dy.as<const P>(), args.x.as<const P>(),
                      args.dx.as<P>());
}

}  // namespace

absl::Status ApplyActivation(CudaContext& cuda, const ActivationArgs& args) {
  const int64_t count = args.y.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(count, {args.x.data, args.y.data},
                         [&](auto pack) { return LaunchForward<T, pack.value>(args, stream); });
  });
}

absl::Status ActivationBackward(CudaContext& cuda, const ActivationBackwardArgs& args) {
  const int64_t count = args.dy.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.dy.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(count, {args.dy.data, args.x.data, args.dx.data},
                         [&](auto pack) { return LaunchBackward<T, pack.value>(args, stream); });
  });
}

}  // namespace tunesmith::trainer::cuda
