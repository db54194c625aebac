#include "common/status_macros.h"
#include "trainer/cuda/gemm.h"
#include "trainer/ops/column_sum_cuda.cuh"
#include "trainer/ops/linear_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// A (rows, columns) tensor as an operand.
GemmOperand Matrix(const Tensor& tensor) {
  return {.data = tensor.data, .row_stride = tensor.row_stride()};
}

// y = x weight^T scale + addend + bias, where there are these.
absl::Status Product(CudaContext& cuda, const Tensor& x, const Tensor& weight, const Tensor& addend,
                     const Tensor& bias, const Tensor& y, float scale) {
  const bool adds = addend.data != nullptr;
  return Gemm(cuda, {.m = x.dims[0],
                     .n = weight.dims[0],
                     .k = x.dims[1],
                     .input_dtype = x.dtype,
                     .output_dtype = y.dtype,
                     .a = Matrix(x),
                     .b = Matrix(weight),
                     .transpose_b = true,
                     .c = Matrix(adds ? addend : y),
                     .d = Matrix(y),
                     .bias = bias.data,
                     .alpha = scale,
                     .beta = adds ? 1.0f : 0.0f});
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
  return Product(cuda, args.x, args.weight, args.addend, {}, args.y,
                 static_cast<float>(args.scale));
}

absl::Status LinearBias(CudaContext& cuda, const LinearBiasArgs& args) {
  return Product(cuda, args.x, args.weight, args.addend, args.bias, args.y, 1.0f);
}

absl::Status LinearBackwardInput(CudaContext& cuda, const LinearBackwardInputArgs& args) {
  return Gemm(cuda, {.m = args.dy.dims[0],
                     .n = args.weight.dims[1],
                     .k = args.dy.dims[1],
                     .input_dtype = args.dy.dtype,
                     .output_dtype = args.dx.dtype,
                     .a = Matrix(args.dy),
                     .b = Matrix(args.weight),
                     .c = Matrix(args.dx),
                     .d = Matrix(args.dx),
                     .alpha = static_cast<float>(args.scale),
                     .beta = args.accumulate ? 1.0f : 0.0f});
}

absl::Status LinearBackwardWeight(CudaContext& cuda, const LinearBackwardWeightArgs& args) {
  return Gemm(cuda, {.m = args.dy.dims[1],
                     .n = args.x.dims[1],
                     .k = args.dy.dims[0],
                     .input_dtype = args.dy.dtype,
                     .output_dtype = args.dweight.dtype,
                     .a = Matrix(args.dy),
                     .transpose_a = true,
                     .b = Matrix(args.x),
                     .c = Matrix(args.dweight),
                     .d = Matrix(args.dweight),
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
