#include "trainer/ops/column_sum_cuda.cuh"
#include "trainer/ops/layer_norm_cuda.h"

// One block per row; sums in f32, the variance around the mean.
namespace tunesmith::trainer::cuda {
namespace {

template <typename T>
__global__ void ForwardKernel(int64_t width, const T* x, const T* weight, const T* bias, T* y,
                              float* mean, float* rstd, float epsilon) {
  const int64_t row = blockIdx.x;
  float sum = 0.0f;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) sum += ToFloat(x[row * width + c]);
  const float m = BlockSum(sum) / static_cast<float>(width);
  float squares = 0.0f;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const float value = ToFloat(x[row * width + c]) - m;
    squares += value * value;
  }
  const float r = 1.0f / sqrtf(BlockSum(squares) / static_cast<float>(width) + epsilon);
  if (threadIdx.x == 0) {
    mean[row] = m;
    rstd[row] = r;
  }
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    float value = (ToFloat(x[row * width + c]) - m) * r * ToFloat(weight[c]);
    if (bias != nullptr) value += ToFloat(bias[c]);
    y[row * width + c] = FromFloat<T>(value);
  }
}

// Each thread reads element c of dy just before it writes element c of dx: dx may be dy's storage.
template <typename T>
__global__ void BackwardKernel(int64_t width, const T* dy, const T* x, const T* weight,
                               const float* mean, const float* rstd, T* dx, bool accumulate) {
  const int64_t row = blockIdx.x;
  const float m = mean[row];
  const float r = rstd[row];
  float plain = 0.0f;
  float normed = 0.0f;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const int64_t i = row * width + c;
    const float g = ToFloat(weight[c]) * ToFloat(dy[i]);
    plain += g;
    normed += g * (ToFloat(x[i]) - m) * r;
  }
  const float mean_plain = BlockSum(plain) / static_cast<float>(width);
  const float mean_normed = BlockSum(normed) / static_cast<float>(width);
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    const int64_t i = row * width + c;
    const float g = ToFloat(weight[c]) * ToFloat(dy[i]);
    float value = r * (g - mean_plain - (ToFloat(x[i]) - m) * r * mean_normed);
    if (accumulate) value += ToFloat(dx[i]);
    dx[i] = FromFloat<T>(value);
  }
}

template <typename T>
struct WeightGradient {
  const T* dy;
  const T* x;
  const float* mean;
  const float* rstd;
  int64_t width;
  __device__ float operator()(int64_t row, int64_t column) const {
    const int64_t i = row * width + column;
    return ToFloat(dy[i]) * (ToFloat(x[i]) - mean[row]) * rstd[row];
  }
};

}  // namespace

absl::Status LayerNorm(CudaContext& cuda, const LayerNormArgs& args) {
  if (args.x.dims[0] == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(ForwardKernel<T>, {BlockCount(args.x.dims[0], 1)}, cuda.impl().stream.get(),
                        args.x.dims[1], args.x.as<const T>(), args.weight.as<const T>(),
                        args.bias.as<const T>(), args.y.as<T>(), args.mean.as<float>(),
                        args.rstd.as<float>(), static_cast<float>(args.epsilon));
  });
}

absl::Status LayerNormBackward(CudaContext& cuda, const LayerNormBackwardArgs& args) {
  if (args.x.dims[0] == 0) return absl::OkStatus();
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(
        BackwardKernel<T>, {BlockCount(args.x.dims[0], 1)}, cuda.impl().stream.get(),
        args.x.dims[1], args.dy.as<const T>(), args.x.as<const T>(), args.weight.as<const T>(),
        args.mean.as<const float>(), args.rstd.as<const float>(), args.dx.as<T>(), args.accumulate);
  });
}

absl::Status LayerNormBackwardWeight(CudaContext& cuda, const LayerNormBackwardWeightArgs& args) {
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    const WeightGradient<T> value = {args.dy.as<const T>(), args.x.as<const T>(),
                                     args.mean.as<const float>(), args.rstd.as<const float>(),
                                     args.x.dims[1]};
    return VisitFloat(args.dweight.dtype, [&](auto sum) {
      return ColumnSums(cuda, args.x.dims[0], args.x.dims[1], value, args.accumulate,
                        args.dweight.as<decltype(sum)>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
