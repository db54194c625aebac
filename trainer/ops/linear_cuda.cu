#include "common/status_macros.h"
#include "trainer/cuda/gemm.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/column_sum_cuda.cuh"
#include "trainer/ops/linear_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// A whole (rows, columns) tensor as an operand.
GemmOperand Whole(const Tensor& tensor) {
  return {.data = tensor.data, .row_stride = tensor.dims[1]};
}

// y = bias + addend, which may be null, in every row.
template <typename T, int N>
__global__ void BroadcastKernel(RowThreads threads, int64_t rows, int packs, const Pack<T, N>* bias,
                                const Pack<T, N>* addend, Pack<T, N>* y) {
  const RowPlace place = threads.Place();
  if (place.row >= rows) return;
#pragma unroll 4
  for (int i = place.thread; i < packs; i += place.threads) {
    const int64_t at = place.row * packs + i;
    Pack<T, N> sum = bias[i];
    if (addend != nullptr) {
      const Pack<T, N> other = addend[at];
      for (int j = 0; j < N; ++j)
        sum.values[j] = FromFloat<T>(ToFloat(sum.values[j]) + ToFloat(other.values[j]));
    }
    y[at] = sum;
  }
}

// y = x weight^T scale + beta * c.
absl::Status Product(CudaContext& cuda, const Tensor& x, const Tensor& weight, const Tensor& c,
                     float beta, const Tensor& y, float scale) {
  return Gemm(cuda, {.m = x.dims[0],
                     .n = weight.dims[0],
                     .k = x.dims[1],
                     .input_dtype = x.dtype,
                     .output_dtype = y.dtype,
                     .a = Whole(x),
                     .b = Whole(weight),
                     .transpose_b = true,
                     .c = Whole(c),
                     .d = Whole(y),
                     .alpha = scale,
                     .beta = beta});
}

// Column sums of the elements themselves.
template <typename T, int N>
struct Elements {
  static constexpr int kPack = N;
  static constexpr int kLoads = 4;
  using Operands = LoadedPack<T, N>;
  const Pack<T, N>* dy;
  int64_t packs;  // of a row

  __device__ Operands Load(int64_t row, int64_t pack) const {
    return Operands(dy[row * packs + pack]);
  }
  __device__ void Add(const Operands& o, float (&sums)[N]) const {
    const Pack<T, N> values = o.Unpacked();
    for (int j = 0; j < N; ++j) sums[j] += ToFloat(values.values[j]);
  }
};

}  // namespace

absl::Status Linear(CudaContext& cuda, const LinearArgs& args) {
  const bool adds = args.addend.data != nullptr;
  return Product(cuda, args.x, args.weight, adds ? args.addend : args.y, adds ? 1.0f : 0.0f, args.y,
                 static_cast<float>(args.scale));
}

// The bias is written to every row first, so that the product adds to it in f32 and rounds once.
absl::Status LinearBias(CudaContext& cuda, const LinearBiasArgs& args) {
  const int64_t rows = args.y.dims[0], width = args.y.dims[1];
  if (args.y.element_count() == 0) return absl::OkStatus();
  const std::initializer_list<const void*> addresses = {args.bias.data, args.addend.data,
                                                        args.y.data};
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(width, addresses, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const RowThreads threads = RowThreadsFor(width / pack.value);
      return LaunchKernel(BroadcastKernel<T, pack.value>, threads.ShapeFor(rows),
                          cuda.impl().stream.get(), threads, rows,
                          static_cast<int>(width / pack.value), args.bias.as<const P>(),
                          args.addend.as<const P>(), args.y.as<P>());
    });
  }));
  return Product(cuda, args.x, args.weight, args.y, 1.0f, args.y, 1.0f);
}

absl::Status LinearBackwardInput(CudaContext& cuda, const LinearBackwardInputArgs& args) {
  return Gemm(cuda, {.m = args.dy.dims[0],
                     .n = args.weight.dims[1],
                     .k = args.dy.dims[1],
                     .input_dtype = args.dy.dtype,
                     .output_dtype = args.dx.dtype,
                     .a = Whole(args.dy),
                     .b = Whole(args.weight),
                     .c = Whole(args.dx),
                     .d = Whole(args.dx),
                     .alpha = static_cast<float>(args.scale),
                     .beta = args.accumulate ? 1.0f : 0.0f});
}

absl::Status LinearBackwardWeight(CudaContext& cuda, const LinearBackwardWeightArgs& args) {
  return Gemm(cuda, {.m = args.dy.dims[1],
                     .n = args.x.dims[1],
                     .k = args.dy.dims[0],
                     .input_dtype = args.dy.dtype,
                     .output_dtype = args.dweight.dtype,
                     .a = Whole(args.dy),
                     .transpose_a = true,
                     .b = Whole(args.x),
                     .c = Whole(args.dweight),
                     .d = Whole(args.dweight),
                     .alpha = static_cast<float>(args.scale),
                     .beta = args.accumulate ? 1.0f : 0.0f});
}

absl::Status BiasBackward(CudaContext& cuda, const BiasBackwardArgs& args) {
  const int64_t rows = args.dy.dims[0], width = args.dy.dims[1];
  return VisitFloat(args.dy.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(width, {args.dy.data}, [&](auto pack) {
      const Elements<T, pack.value> value = {args.dy.as<const Pack<T, pack.value>>(),
                                             width / pack.value};
      return VisitFloat(args.dbias.dtype, [&](auto sum) {
        return ColumnSums(cuda, rows, width, value, args.accumulate,
                          args.dbias.as<decltype(sum)>());
      });
    });
  });
}

}  // namespace tunesmith::trainer::cuda
