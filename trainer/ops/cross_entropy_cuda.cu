#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/cross_entropy_cuda.h"

// One block per row: the row's maximum, the sum of exponentials, then its loss into scratch memory
// and, in place, its gradient. A last block adds the rows' losses in f64 in a fixed order. A label
// beyond the vocabulary gives a loss of NaN.
namespace tunesmith::trainer::cuda {
namespace {

template <typename T>
__device__ float RowMax(const T* row, int64_t vocab) {
  float maximum = -INFINITY;
  for (int64_t v = threadIdx.x; v < vocab; v += blockDim.x)
    maximum = fmaxf(maximum, ToFloat(row[v]));
  return BlockMax(maximum);
}

template <typename T>
__device__ float RowSumExp(const T* row, int64_t vocab, float maximum) {
  float sum = 0.0f;
  for (int64_t v = threadIdx.x; v < vocab; v += blockDim.x) sum += expf(ToFloat(row[v]) - maximum);
  return BlockSum(sum);
}

// Ends with a barrier after the label's logit was read: the row may be overwritten.
template <typename T>
__device__ void WriteLoss(const T* row, int64_t vocab, int32_t label, float maximum, float sum,
                          double* loss) {
  if (threadIdx.x == 0) {
    const float logit = label < vocab ? ToFloat(row[label]) : NAN;
    *loss = static_cast<double>(logf(sum)) + maximum - logit;
  }
  __syncthreads();
}

template <typename T>
__global__ void LossKernel(int64_t vocab, const T* logits, const int32_t* labels, double* losses) {
  const int64_t n = blockIdx.x;
  const int32_t label = labels[n];
  if (label < 0) {
    if (threadIdx.x == 0) losses[n] = 0.0;
    return;
  }
  const T* const row = logits + n * vocab;
  const float maximum = RowMax(row, vocab);
  const float sum = RowSumExp(row, vocab, maximum);
  WriteLoss(row, vocab, label, maximum, sum, &losses[n]);
}

template <typename T>
__global__ void GradientKernel(int64_t vocab, T* logits, const int32_t* labels,
                               const float* loss_scale, float soft_cap, double* losses) {
  const int64_t n = blockIdx.x;
  const int32_t label = labels[n];
  T* const row = logits + n * vocab;
  if (label < 0) {
    if (threadIdx.x == 0) losses[n] = 0.0;
    for (int64_t v = threadIdx.x; v < vocab; v += blockDim.x) row[v] = FromFloat<T>(0.0f);
    return;
  }
  const float maximum = RowMax(row, vocab);
  const float sum = RowSumExp(row, vocab, maximum);
  WriteLoss(row, vocab, label, maximum, sum, &losses[n]);
  const float scale = *loss_scale;
  for (int64_t v = threadIdx.x; v < vocab; v += blockDim.x) {
    const float logit = ToFloat(row[v]);
    const float probability = expf(logit - maximum) / sum;
    const float share = soft_cap > 0.0f ? logit / soft_cap : 0.0f;
    row[v] =
        FromFloat<T>((probability - (v == label ? 1.0f : 0.0f)) * scale * (1.0f - share * share));
  }
}

// One block.
__global__ void AddLossesKernel(int64_t count, const double* losses, double* loss_sum) {
  double sum = 0.0;
  for (int64_t n = threadIdx.x; n < count; n += blockDim.x) sum += losses[n];
  sum = BlockSum(sum);
  if (threadIdx.x == 0) *loss_sum += sum;
}

absl::Status AddLosses(int64_t count, const double* losses, const Tensor& loss_sum,
                       cudaStream_t stream) {
  return LaunchKernel(AddLossesKernel, {1}, stream, count, losses, loss_sum.as<double>());
}

}  // namespace

absl::Status CrossEntropy(CudaContext& cuda, const CrossEntropyArgs& args) {
  const int64_t count = args.logits.dims[0];
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  TUNESMITH_ASSIGN_OR_RETURN(double* const losses, ScratchFor<double>(cuda, count));
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.logits.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(LossKernel<T>, {BlockCount(count, 1)}, stream, args.logits.dims[1],
                        args.logits.as<const T>(), args.labels.as<const int32_t>(), losses);
  }));
  return AddLosses(count, losses, args.loss_sum, stream);
}

absl::Status CrossEntropyInPlace(CudaContext& cuda, const CrossEntropyInPlaceArgs& args) {
  const int64_t count = args.logits.dims[0];
  if (count == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  TUNESMITH_ASSIGN_OR_RETURN(double* const losses, ScratchFor<double>(cuda, count));
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.logits.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(GradientKernel<T>, {BlockCount(count, 1)}, stream, args.logits.dims[1],
                        args.logits.as<T>(), args.labels.as<const int32_t>(),
                        args.loss_scale.as<const float>(), static_cast<float>(args.soft_cap),
                        losses);
  }));
  return AddLosses(count, losses, args.loss_sum, stream);
}

}  // namespace tunesmith::trainer::cuda
