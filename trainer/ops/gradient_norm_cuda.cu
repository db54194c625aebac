#include <algorithm>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/gradient_norm_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

// The grid depends on the size alone, so that the order of additions does.
constexpr int64_t kMaxPartialCount = 1024;
constexpr int kLoads = 4;  // packs that a thread loads before it uses the first

template <typename T, int N>
__device__ double SumSquaresOf(const Pack<T, N>& pack) {
  double sum = 0.0;
  for (int j = 0; j < N; ++j) {
    const double value = ToFloat(pack.values[j]);
    sum += value * value;
  }
  return sum;
}

template <typename T, int N>
__global__ void PartialKernel(int64_t pack_count, const Pack<T, N>* x, double* partials) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  double sum = 0.0;
  for (int64_t first = GlobalThread(); first < pack_count; first += kLoads * step) {
    Pack<T, N> packs[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (first + l * step < pack_count) packs[l] = x[first + l * step];
    }
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (first + l * step < pack_count) sum += SumSquaresOf(packs[l]);
    }
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
  TUNESMITH_ASSIGN_OR_RETURN(double* const partials, ScratchFor<double>(cuda, kMaxPartialCount));
  unsigned int partial_count = 0;
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(count, {args.x.data}, [&](auto pack) {
      const int64_t pack_count = count / pack.value;
      partial_count = BlockCount(std::min(pack_count, kMaxPartialCount * int64_t{kBlockSize}));
      return LaunchKernel(PartialKernel<T, pack.value>, {partial_count}, stream, pack_count,
                          args.x.as<const Pack<T, pack.value>>(), partials);
    });
  }));
  return LaunchKernel(FinishKernel, {1}, stream, int64_t{partial_count}, partials,
                      args.sum.as<double>());
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
