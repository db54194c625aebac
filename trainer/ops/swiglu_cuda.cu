#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/activation_math.cuh"
#include "trainer/ops/swiglu_cuda.h"

// Each thread reads its elements of every input before it writes those of any output: outputs may
// be the inputs' storage.
namespace tunesmith::trainer::cuda {
namespace {

template <typename T, int N>
__global__ void ForwardKernel(int64_t pack_count, planner::Activation activation,
                              const Pack<T, N>* gate, const Pack<T, N>* up, Pack<T, N>* y) {
  const int64_t i = GlobalThread();
  if (i >= pack_count) return;
  const Pack<T, N> g = gate[i];
  const Pack<T, N> u = up[i];
  Pack<T, N> out;
  for (int j = 0; j < N; ++j) {
    const float value = Activate(activation, ToFloat(g.values[j])).value;
    out.values[j] = FromFloat<T>(value * ToFloat(u.values[j]));
  }
  y[i] = out;
}

template <typename T, int N>
__global__ void BackwardKernel(int64_t pack_count, planner::Activation activation,
                               const Pack<T, N>* dy, const Pack<T, N>* gate, const Pack<T, N>* up,
                               Pack<T, N>* dgate, Pack<T, N>* dup) {
  const int64_t i = GlobalThread();
  if (i >= pack_count) return;
  const Pack<T, N> d = dy[i];
  const Pack<T, N> g = gate[i];
  const Pack<T, N> u = up[i];
  Pack<T, N> dg, du;
  for (int j = 0; j < N; ++j) {
    const float dj = ToFloat(d.values[j]);
    const ActivationValue a = Activate(activation, ToFloat(g.values[j]));
    dg.values[j] = FromFloat<T>(dj * ToFloat(u.values[j]) * a.slope);
    du.values[j] = FromFloat<T>(dj * a.value);
  }
  dgate[i] = dg;
  dup[i] = du;
}

template <typename T, int N>
absl::Status LaunchForward(const SwiGluArgs& args, cudaStream_t stream) {
  using P = Pack<T, N>;
  const int64_t pack_count = args.y.element_count() / N;
  return LaunchKernel(ForwardKernel<T, N>, {BlockCount(pack_count)}, stream, pack_count,
                      args.activation, args.gate.as<const P>(), args.up.as<const P>(),
                      args.y.as<P>());
}

template <typename T, int N>
absl::Status LaunchBackward(const SwiGluBackwardArgs& args, cudaStream_t stream) {
  using P = Pack<T, N>;
  const int64_t pack_count = args.dy.element_count() / N;
  return LaunchKernel(BackwardKernel<T, N>, {BlockCount(pack_count)}, stream, pack_count,
                      args.activation, args.dy.as<const P>(), args.gate.as<const P>(),
                      args.up.as<const P>(), args.dgate.as<P>(), args.dup.as<P>());
}

}  // namespace

absl::Status SwiGlu(CudaContext& cuda, const SwiGluArgs& args) {
  const int64_t count = args.y.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(count, {args.gate.data, args.up.data, args.y.data},
                         [&](auto pack) { return LaunchForward<T, pack.value>(args, stream); });
  });
}

absl::Status SwiGluBackward(CudaContext& cuda, const SwiGluBackwardArgs& args) {
  const int64_t count = args.dy.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.dy.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(
        count, {args.dy.data, args.gate.data, args.up.data, args.dgate.data, args.dup.data},
        [&](auto pack) { return LaunchBackward<T, pack.value>(args, stream); });
  });
}

}  // namespace tunesmith::trainer::cuda
