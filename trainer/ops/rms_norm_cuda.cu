#include "trainer/ops/column_sum_cuda.cuh"
#include "trainer/ops/rms_norm_cuda.h"

// One block per row; sums in f32.
namespace tunesmith::trainer::cuda {
namespace {

template <typename T>
__global__ void ForwardKernel(int64_t width, const T* x, const T* weight, T* y, float* rstd,
                              float epsilon, float offset) {
  const int64_t row = blockIdx.x;
  float squares = 0.0f;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const float value = ToFloat(x[row * width + c]);
    squares += value * value;
  }
  const float mean = BlockSum(squares) / static_cast<float>(width);
  const float r = 1.0f / sqrtf(mean + epsilon);
  if (threadIdx.x == 0) rstd[row] = r;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    y[row * width + c] =
        FromFloat<T>(ToFloat(x[row * width + c]) * r * (offset + ToFloat(weight[c])));
  }
}

// Each thread reads element c of dy just before it writes element c of dx: dx may be dy's storage.
template <typename T>
__global__ void BackwardKernel(int64_t width, const T* dy, const T* x, const T* weight,
                               const float* rstd, T* dx, float offset, bool accumulate) {
  const int64_t row = blockIdx.x;
  const float r = rstd[row];
  float products = 0.0f;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const int64_t i = row * width + c;
    products += (offset + ToFloat(weight[c])) * ToFloat(dy[i]) * ToFloat(x[i]) * r;
  }
  const float mean = BlockSum(products) / static_cast<float>(width);
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const int64_t i = row * width + c;
    float value = r * ((offset + ToFloat(weight[c])) * ToFloat(dy[i]) - ToFloat(x[i]) * r * mean);
    if (accumulate) value += ToFloat(dx[i]);
    dx[i] = FromFloat<T>(value);
  }
}

template <typename T>
struct WeightGradient {
  const T* dy;
  const T* x;
  const float* rstd;
  int64_t width;
  __device__ float operator()(int64_t row, int64_t column) const {
    const int64_t i = row * width + column;
    return ToFloat(dy[i]) * ToFloat(x[i]) * rstd[row];
  }
};

}  // namespace

absl::Status RmsNorm(CudaContext& cuda, const RmsNormArgs& args) {
  if (args.x.dims[0] == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(ForwardKernel<T>, {BlockCount(args.x.dims[0], 1)}, cuda.impl().stream.get(),
                        args.x.dims[1], args.x.as<const T>(), args.weight.as<const T>(),
                        args.y.as<T>(), args.rstd.as<float>(), static_cast<float>(args.epsilon),
                        static_cast<float>(args.weight_offset));
  });
}

absl::Status RmsNormBackward(CudaContext& cuda, const RmsNormBackwardArgs& args) {
  if (args.x.dims[0] == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(BackwardKernel<T>, {BlockCount(args.x.dims[0], 1)},
                        cuda.impl().stream.get(), args.x.dims[1], args.dy.as<const T>(),
                        args.x.as<const T>(), args.weight.as<const T>(),
                        args.rstd.as<const float>(), args.dx.as<T>(),
                        static_cast<float>(args.weight_offset), args.accumulate);
  });
}

absl::Status RmsNormBackwardWeight(CudaContext& cuda, const RmsNormBackwardWeightArgs& args) {
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    const WeightGradient<T> value = {args.dy.as<const T>(), args.x.as<const T>(),
                                     args.rstd.as<const float>(), args.x.dims[1]};
    return VisitFloat(args.dweight.dtype, [&](auto sum) {
      return ColumnSums(cuda, args.x.dims[0], args.x.dims[1], value, args.accumulate,
                        args.dweight.as<decltype(sum)>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
