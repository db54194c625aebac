#include <algorithm>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/gradient_norm_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// The grid depends on the size alone, so that the order of additions does.
constexpr int64_t kMaxPartialCount = 1024;

template <typename T>
__global__ void PartialKernel(int64_t count, const T* x, double* partials) {
  const int64_t thread_count = static_cast<int64_t>(gridDim.x) * blockDim.x;
  double sum = 0.0;
  for (int64_t i = GlobalThread(); i < count; i += thread_count) {
    const double value = ToFloat(x[i]);
    sum += value * value;
  }
  sum = BlockSum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// One block.
__global__ void FinishKernel(int64_t partial_count, const double* partials, double* total) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < partial_count; i += blockDim.x) sum += partials[i];
  sum = BlockSum(sum);
  if (threadIdx.x == 0) *total += sum;
}

// One thread. A norm that is not finite gives a factor of NaN or 0: the comparison keeps a NaN,
// fmin would drop it.
__global__ void ClipFactorKernel(const double* sum, const float* scalars, float* clip_factor,
                                 float* gradient_norm) {
  const double norm = sqrt(*sum);
  const double max_norm = scalars[planner::kMaxGradientNorm];
  const double factor = max_norm / (norm + 1e-6);
  *gradient_norm = static_cast<float>(norm);
  *clip_factor = max_norm <= 0.0 || factor > 1.0 ? 1.0f : static_cast<float>(factor);
}

}  // namespace

absl::Status SumSquares(CudaContext& cuda, const SumSquaresArgs& args) {
  const int64_t count = args.x.element_count();
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  const unsigned int partial_count =
      BlockCount(std::min(count, kMaxPartialCount * int64_t{kBlockSize}));
  TUNESMITH_ASSIGN_OR_RETURN(double* const partials, ScratchFor<double>(cuda, partial_count));
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(PartialKernel<T>, {partial_count}, stream, count, args.x.as<const T>(),
                        partials);
  }));
  return LaunchKernel(FinishKernel, {1}, stream, partial_count, partials, args.sum.as<double>());
}

absl::Status ClipFactor(CudaContext& cuda, const ClipFactorArgs& args) {
  for (const Tensor* tensor : {&args.step_scalars, &args.clip_factor, &args.gradient_norm}) {
    if (tensor->dtype != DType::kF32) return UnsupportedDType(tensor->dtype);
  }
  return LaunchKernel(ClipFactorKernel, {1, 1}, cuda.impl().stream.get(),
                      args.sum.as<const double>(), args.step_scalars.as<const float>(),
                      args.clip_factor.as<float>(), args.gradient_norm.as<float>());
}

}  // namespace tunesmith::trainer::cuda
