#include "trainer/cuda/gemm_fallback.h"
#include "trainer/cuda/kernel.cuh"

namespace tunesmith::trainer {
namespace {

constexpr int kTile = 16;

// Element (row, column) of op(a) and op(b) lies at row * row_step + column * column_step.
struct Strides {
  int64_t row_step, column_step, batch_step;
};

template <typename In, typename Out>
struct KernelArgs {
  int64_t m, n, k, batch_count;
  const In* a;
  const In* b;
  const Out* c;
  const Out* bias;
  Out* d;
  Strides a_strides, b_strides, c_strides, d_strides;
  float alpha, beta;
};

__device__ int64_t At(const Strides& s, int64_t batch, int64_t row, int64_t column) {
  return batch * s.batch_step + row * s.row_step + column * s.column_step;
}

// A column more than is used: the rows of a column lie in different banks.
struct Tiles {
  float a[kTile][kTile + 1];
  float b[kTile][kTile + 1];
};

// One block per tile of d, one thread per element. Rows of tiles on grid.x, the only dimension
// without a limit of 65535.
template <typename In, typename Out>
__global__ void GemmKernel(KernelArgs<In, Out> p) {
  auto& [a_tile, b_tile] = Shared<Tiles>();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.y;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kTile + threadIdx.x;
  for (int64_t batch = blockIdx.z; batch < p.batch_count; batch += gridDim.z) {
    float sum = 0.0f;
    for (int64_t k0 = 0; k0 < p.k; k0 += kTile) {
      const int64_t a_column = k0 + threadIdx.x;
      const int64_t b_row = k0 + threadIdx.y;
      a_tile[threadIdx.y][threadIdx.x] =
          row < p.m && a_column < p.k ? ToFloat(p.a[At(p.a_strides, batch, row, a_column)]) : 0.0f;
      b_tile[threadIdx.y][threadIdx.x] =
          b_row < p.k && column < p.n ? ToFloat(p.b[At(p.b_strides, batch, b_row, column)]) : 0.0f;
      __syncthreads();
      for (int i = 0; i < kTile; ++i) sum += a_tile[threadIdx.y][i] * b_tile[i][threadIdx.x];
      __syncthreads();
    }
    if (row < p.m && column < p.n) {
      float value = p.alpha * sum;
      if (p.beta != 0.0f) value += p.beta * ToFloat(p.c[At(p.c_strides, batch, row, column)]);
      if (p.bias != nullptr) value += ToFloat(p.bias[column]);
      p.d[At(p.d_strides, batch, row, column)] = FromFloat<Out>(value);
    }
  }
}

Strides StridesOf(const GemmOperand& operand, bool transpose) {
  return {transpose ? 1 : operand.row_stride, transpose ? operand.row_stride : 1,
          operand.batch_stride};
}

template <typename In, typename Out>
absl::Status Launch(const GemmArgs& args, cudaStream_t stream) {
  const KernelArgs<In, Out> p = {
      .m = args.m,
      .n = args.n,
      .k = args.k,
      .batch_count = args.batch_count,
      .a = static_cast<const In*>(args.a.data),
      .b = static_cast<const In*>(args.b.data),
      .c = static_cast<const Out*>(args.c.data),
      .bias = static_cast<const Out*>(args.bias),
      .d = static_cast<Out*>(const_cast<void*>(args.d.data)),
      .a_strides = StridesOf(args.a, args.transpose_a),
      .b_strides = StridesOf(args.b, args.transpose_b),
      .c_strides = StridesOf(args.c, false),
      .d_strides = StridesOf(args.d, false),
      .alpha = args.alpha,
      .beta = args.beta,
  };
  constexpr int64_t kMaxGridZ = 65535;
  const auto batches =
      static_cast<unsigned int>(args.batch_count < kMaxGridZ ? args.batch_count : kMaxGridZ);
  const dim3 grid(BlockCount(args.m, kTile), BlockCount(args.n, kTile), batches);
  return LaunchKernel(GemmKernel<In, Out>, {grid, dim3(kTile, kTile)}, stream, p);
}

}  // namespace

absl::Status GemmFallback(const GemmArgs& args, cudaStream_t stream) {
  if (args.input_dtype == DType::kF32) return Launch<float, float>(args, stream);
  if (args.output_dtype == DType::kF32) return Launch<Bf16, float>(args, stream);
  return Launch<Bf16, Bf16>(args, stream);
}

}  // namespace tunesmith::trainer
