#include "common/status_macros.h"
#include "trainer/cuda/gemm.h"
#include "trainer/ops/column_sum_cuda.cuh"
#include "trainer/ops/linear_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// A whole (rows, columns) tensor as an operand.
GemmOperand Whole(const Tensor& tensor) {
  return {.data = tensor.data, .row_stride = tensor.dims[1]};
}

template <typename T>
__global__ void BroadcastKernel(int64_t count, int64_t columns, const T* bias, const T* addend,
                                T* y) {
  const int64_t i = GlobalThread();
  if (i >= count) return;
  const T value = bias[i % columns];
  y[i] = addend == nullptr ? value : FromFloat<T>(ToFloat(value) + ToFloat(addend[i]));
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

template <typename T>
struct Element {
  const T* dy;
  int64_t width;
  __device__ float operator()(int64_t row, int64_t column) const {
    return ToFloat(dy[row * width + column]);
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
  const int64_t count = args.y.element_count();
  if (count == 0) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.y.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(BroadcastKernel<T>, {BlockCount(count)}, cuda.impl().stream.get(), count,
                        args.y.dims[1], args.bias.as<const T>(), args.addend.as<const T>(),
                        args.y.as<T>());
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
  return VisitFloat(args.dy.dtype, [&](auto element) {
    using T = decltype(element);
    const Element<T> value = {args.dy.as<const T>(), args.dy.dims[1]};
    return VisitFloat(args.dbias.dtype, [&](auto sum) {
      return ColumnSums(cuda, args.dy.dims[0], args.dy.dims[1], value, args.accumulate,
                        args.dbias.as<decltype(sum)>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
