#include <initializer_list>
#include <numeric>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/activation_math.cuh"
#include "trainer/ops/swiglu_cuda.h"

// Each thread reads its elements of every input before it writes those of any output: outputs may
// be the inputs' storage.
namespace tunesmith::trainer::cuda {
namespace {

// A matrix as packs, whose rows begin so many of them apart.
template <typename P>
struct PackRows {
  P* data;
  int64_t stride;
};

// One thread for each pack of a row-major matrix.
struct PackGrid {
  int64_t count;
  int64_t packs;  // of a row

  // Of this thread's pack, which may be beyond the last.
  __device__ bool Exists() const { return GlobalThread() < count; }
  template <typename P>
  __device__ P& At(const PackRows<P>& matrix) const {
    const int64_t i = GlobalThread();
    // Divisions of 64 bits take four times as long.
    const int64_t row =
        count <= UINT32_MAX ? static_cast<uint32_t>(i) / static_cast<uint32_t>(packs) : i / packs;
    return matrix.data[row * matrix.stride + (i - row * packs)];
  }
};

template <typename T, int N>
__global__ void ForwardKernel(PackGrid grid, planner::Activation activation,
                              PackRows<const Pack<T, N>> gate, PackRows<const Pack<T, N>> up,
                              PackRows<Pack<T, N>> y) {
  if (!grid.Exists()) return;
  const Pack<T, N> g = grid.At(gate);
  const Pack<T, N> u = grid.At(up);
  Pack<T, N> out;
  for (int j = 0; j < N; ++j) {
    const float value = Activate(activation, ToFloat(g.values[j])).value;
    out.values[j] = FromFloat<T>(value * ToFloat(u.values[j]));
  }
  grid.At(y) = out;
}

template <typename T, int N>
__global__ void BackwardKernel(PackGrid grid, planner::Activation activation,
                               PackRows<const Pack<T, N>> dy, PackRows<const Pack<T, N>> gate,
                               PackRows<const Pack<T, N>> up, PackRows<Pack<T, N>> dgate,
                               PackRows<Pack<T, N>> dup) {
  if (!grid.Exists()) return;
  const Pack<T, N> d = grid.At(dy);
  const Pack<T, N> g = grid.At(gate);
  const Pack<T, N> u = grid.At(up);
  Pack<T, N> dg, du;
  for (int j = 0; j < N; ++j) {
    const float dj = ToFloat(d.values[j]);
    const ActivationValue a = Activate(activation, ToFloat(g.values[j]));
    dg.values[j] = FromFloat<T>(dj * ToFloat(u.values[j]) * a.slope);
    du.values[j] = FromFloat<T>(dj * a.value);
  }
  grid.At(dgate) = dg;
  grid.At(dup) = du;
}

template <typename P, int N>
PackRows<P> RowsOf(const Tensor& matrix) {
  return {matrix.as<P>(), matrix.row_stride() / N};
}

template <int N>
PackGrid GridOf(const Tensor& matrix) {
  return {matrix.element_count() / N, matrix.dims[1] / N};
}

template <typename T, int N>
absl::Status LaunchForward(const SwiGluArgs& args, cudaStream_t stream) {
  using P = Pack<T, N>;
  const PackGrid grid = GridOf<N>(args.y);
  return LaunchKernel(ForwardKernel<T, N>, {BlockCount(grid.count)}, stream, grid, args.activation,
                      RowsOf<const P, N>(args.gate), RowsOf<const P, N>(args.up),
                      RowsOf<P, N>(args.y));
}

template <typename T, int N>
absl::Status LaunchBackward(const SwiGluBackwardArgs& args, cudaStream_t stream) {
  using P = Pack<T, N>;
  const PackGrid grid = GridOf<N>(args.dy);
  return LaunchKernel(BackwardKernel<T, N>, {BlockCount(grid.count)}, stream, grid, args.activation,
                      RowsOf<const P, N>(args.dy), RowsOf<const P, N>(args.gate),
                      RowsOf<const P, N>(args.up), RowsOf<P, N>(args.dgate),
                      RowsOf<P, N>(args.dup));
}

// The elements by which rows begin and end: a divisor of every width and stride.
int64_t StepOf(std::initializer_list<Tensor> matrices) {
  int64_t step = 0;
  for (const Tensor& matrix : matrices)
    step = std::gcd(step, std::gcd(matrix.dims[1], matrix.row_stride()));
  return step;
}

}  // namespace

absl::Status SwiGlu(CudaContext& cuda, const SwiGluArgs& args) {
  if (args.y.element_count() == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(StepOf({args.gate, args.up, args.y}),
                         {args.gate.data, args.up.data, args.y.data},
                         [&](auto pack) { return LaunchForward<T, pack.value>(args, stream); });
  });
}

absl::Status SwiGluBackward(CudaContext& cuda, const SwiGluBackwardArgs& args) {
  if (args.dy.element_count() == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.dy.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(
        StepOf({args.dy, args.gate, args.up, args.dgate, args.dup}),
        {args.dy.data, args.gate.data, args.up.data, args.dgate.data, args.dup.data},
        [&](auto pack) { return LaunchBackward<T, pack.value>(args, stream); });
  });
}

}  // namespace tunesmith::trainer::cuda
