#include <algorithm>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/cross_entropy_cuda.h"

// One block per row, which it reads once: each thread keeps the maximum of what it has seen and the sum of exponentials below it. For gradients as much of
// the row as fits stays in shared memory, so that the second pass reads little again, and that from the L2 cache. The row's loss goes into scratch
// memory; a last block adds the rows' losses in f64 in a fixed order. A label beyond the vocabulary gives a loss of NaN.
namespace tunesmith::trainer::cuda {
namespace {

constexpr int kLoads = 4;  // packs that a thread loads before it uses the first
constexpr float kLog2E = 1.4426950408889634f;

// Where the exponents' difference is -infinity, 0.
__device__ float ExpOfDifference(float x, float maximum) {
  return PowerOfTwo((x - maximum) * kLog2E);
}

// sum of e^(x - maximum) over some x, of which `maximum` is the largest. No x yet: a finite maximum, so that one of -infinity adds 0 and not NaN.
struct ExpSum {
  float maximum = -3.4e38f;
  float sum = 0.0f;

  template <typename T, int N>
  __device__ void Add(const LoadedPack<T, N> (&packs)[kLoads]) {
    float largest = maximum;
    for (const auto& pack : packs) {
      const Pack<T, N> logits = pack.Unpacked();
      for (const T logit : logits.values) largest = fmaxf(largest, ToFloat(logit));
    }
    sum *= ExpOfDifference(maximum, largest);
    maximum = largest;
    for (const auto& pack : packs) {
      const Pack<T, N> logits = pack.Unpacked();
      for (const T logit : logits.values) sum += ExpOfDifference(ToFloat(logit), maximum);
    }
  }

  // Over all threads of the block; has barriers.
  __device__ void Combine() {
    const float largest = BlockMax(maximum);
    sum = BlockSum(sum * ExpOfDifference(maximum, largest));
    maximum = largest;
  }
};

// load(index), use(index of the first, packs): kLoads packs of the block's `count` at a time, `fill` where there is none.
template <typename T, int N, typename Load, typename Use>
__device__ void ForPacks(int count, const Pack<T, N>& fill, Load load, Use use) {
  for (int first = threadIdx.x; first < count; first += kLoads * blockDim.x) {
    LoadedPack<T, N> packs[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      const int i = first + l * blockDim.x;
      packs[l] = LoadedPack<T, N>(i < count ? load(i) : fill);
    }
    use(first, packs);
  }
}

// store(index, pack) of the packs that there are.
template <typename T, int N, typename Store>
__device__ void StorePacks(int count, int first, const LoadedPack<T, N> (&packs)[kLoads],
                           Store store) {
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    const int i = first + l * blockDim.x;
    if (i < count) store(i, packs[l].Unpacked());
  }
}

template <typename T, int N>
__device__ Pack<T, N> PackOf(float value) {
  Pack<T, N> pack;
  for (T& element : pack.values) element = FromFloat<T>(value);
  return pack;
}

// The logit of the row's label, for thread 0 alone, read before anything is written.
template <typename T>
__device__ float LabelLogit(const T* row, int64_t vocab, int32_t label) {
  if (threadIdx.x != 0) return 0.0f;
  return label < vocab ? ToFloat(row[label]) : NAN;
}

__device__ void WriteLoss(const ExpSum& exp_sum, float logit, double* loss) {
  if (threadIdx.x == 0) *loss = static_cast<double>(logf(exp_sum.sum)) + exp_sum.maximum - logit;
}

template <typename T, int N>
__global__ void LossKernel(int pack_count, const Pack<T, N>* logits, const int32_t* labels,
                           double* losses) {
  const int64_t n = blockIdx.x;
  const int32_t label = labels[n];
  if (label < 0) {
    if (threadIdx.x == 0) losses[n] = 0.0;
    return;
  }
  const Pack<T, N>* const row = logits + n * pack_count;
  const float logit = LabelLogit(row->values, int64_t{pack_count} * N, label);
  ExpSum exp_sum;
  ForPacks(
      pack_count, PackOf<T, N>(-INFINITY), [&](int i) { return row[i]; },
      [&](int, const auto& packs) { exp_sum.Add(packs); });
  exp_sum.Combine();
  WriteLoss(exp_sum, logit, &losses[n]);
}

template <typename T, int N>
struct GradientArgs {
  int pack_count, held_count;  // of a row, and those that stay in shared memory
  Pack<T, N>* logits;
  const int32_t* labels;
  const float* loss_scale;
  float cap_inverse;  // where there is a soft-cap
  double* losses;
};

// What turns logits into their gradients. Few instructions an element: at full bandwidth there is time for some thirty of each thread.
template <bool kCapped>
struct Gradient {
  float maximum, factor, scale, cap_inverse;

  template <typename T, int N>
  __device__ Pack<T, N> Of(int label_in_pack, Pack<T, N> pack) const {
    float gradients[N];
    for (int j = 0; j < N; ++j)
      gradients[j] = ExpOfDifference(ToFloat(pack.values[j]), maximum) * factor;
    if (label_in_pack >= 0 && label_in_pack < N) {
      for (int j = 0; j < N; ++j) gradients[j] -= j == label_in_pack ? scale : 0.0f;
    }
    for (int j = 0; j < N; ++j) {
      if constexpr (kCapped) {
        const float share = ToFloat(pack.values[j]) * cap_inverse;
        gradients[j] *= 1.0f - share * share;
      }
      pack.values[j] = FromFloat<T>(gradients[j]);
    }
    return pack;
  }
};

template <typename T, int N, bool kCapped>
__global__ void __launch_bounds__(1024) GradientKernel(GradientArgs<T, N> k) {
  using P = Pack<T, N>;
  P* const held = reinterpret_cast<P*>(DynamicShared());
  const int64_t n = blockIdx.x;
  const int32_t label = k.labels[n];
  P* const row = k.logits + n * k.pack_count;
  if (label < 0) {
    if (threadIdx.x == 0) k.losses[n] = 0.0;
    for (int i = threadIdx.x; i < k.pack_count; i += blockDim.x) row[i] = PackOf<T, N>(0.0f);
    return;
  }
  const float logit = LabelLogit(row->values, int64_t{k.pack_count} * N, label);
  ExpSum exp_sum;
  ForPacks(
      k.pack_count, PackOf<T, N>(-INFINITY), [&](int i) { return row[i]; },
      [&](int first, const auto& packs) {
        StorePacks(k.held_count, first, packs, [&](int i, const P& pack) { held[i] = pack; });
        exp_sum.Add(packs);
      });
  exp_sum
      .Combine();  // its barriers order the label's logit, which was read, before what is written below
  WriteLoss(exp_sum, logit, &k.losses[n]);
  const float scale = *k.loss_scale;
  const Gradient<kCapped> gradient = {exp_sum.maximum, scale / exp_sum.sum, scale, k.cap_inverse};
  // A thread finds in shared memory what it has written itself.
  ForPacks(
      k.pack_count, P(), [&](int i) { return i < k.held_count ? held[i] : row[i]; },
      [&](int first, const auto& packs) {
        StorePacks(k.pack_count, first, packs,
                   [&](int i, const P& pack) { row[i] = gradient.Of(label - i * N, pack); });
      });
}

// One block, whose threads wait for few loads each.
__global__ void __launch_bounds__(1024)
    AddLossesKernel(int64_t count, const double* losses, double* loss_sum) {
  double sum = 0.0;
  for (int64_t n = threadIdx.x; n < count; n += blockDim.x) sum += losses[n];
  sum = BlockSum(sum);
  if (threadIdx.x == 0) *loss_sum += sum;
}

absl::Status AddLosses(int64_t count, const double* losses, const Tensor& loss_sum,
                       cudaStream_t stream) {
  return LaunchKernel(AddLossesKernel, {1, 1024}, stream, count, losses, loss_sum.as<double>());
}

// How a block treats a row of gradients.
struct RowPlan {
  int threads;
  int held_packs;
};

// Two blocks on each multiprocessor where a row fits into half of its shared memory, so that one loads while the other waits at a barrier; else one with all
// of it. A small number of rows at once keeps what does not fit in the L2 cache until it is read again.
absl::StatusOr<RowPlan> PlanRow(int64_t pack_count, int64_t pack_bytes) {
  int device = 0, most_of_block = 0;
  CUDA_RETURN_IF_ERROR(cudaGetDevice(&device));
  CUDA_RETURN_IF_ERROR(
      cudaDeviceGetAttribute(&most_of_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  constexpr int64_t kSystemBytes = 1 << 10, kStaticBytes = 1 << 10;  // of each block beside ours
  const auto share_of = [&](int64_t blocks) {
    return (most_of_block + kSystemBytes) / blocks - kSystemBytes - kStaticBytes;
  };
  const bool fits_half = pack_count * pack_bytes <= share_of(2);
  const int64_t held = std::min(pack_count, share_of(fits_half ? 2 : 1) / pack_bytes);
  const bool is_short = pack_count <= kLoads * kBlockSize;
  return RowPlan{.threads = is_short    ? kBlockSize
                            : fits_half ? 512
                                        : 1024,
                 .held_packs = static_cast<int>(held)};
}

template <typename T, int N>
absl::Status LaunchGradient(const CrossEntropyInPlaceArgs& args, double* losses,
                            cudaStream_t stream) {
  const int64_t pack_count = args.logits.dims[1] / N;
  TUNESMITH_ASSIGN_OR_RETURN(const RowPlan plan, PlanRow(pack_count, sizeof(Pack<T, N>)));
  const GradientArgs<T, N> k = {
      .pack_count = static_cast<int>(pack_count),
      .held_count = plan.held_packs,
      .logits = args.logits.as<Pack<T, N>>(),
      .labels = args.labels.as<const int32_t>(),
      .loss_scale = args.loss_scale.as<const float>(),
      .cap_inverse = args.soft_cap > 0 ? static_cast<float>(1 / args.soft_cap) : 0.0f,
      .losses = losses,
  };
  const LaunchShape shape = {
      .grid = BlockCount(args.logits.dims[0], 1),
      .block = dim3(plan.threads),
      .shared_bytes = plan.held_packs * static_cast<int64_t>(sizeof(Pack<T, N>))};
  const auto launch = [&](void (*kernel)(GradientArgs<T, N>)) -> absl::Status {
    // Or the driver may leave a multiprocessor the shared memory of one block where two have room.
    CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(
        kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared));
    return LaunchKernel(kernel, shape, stream, k);
  };
  return launch(args.soft_cap > 0 ? GradientKernel<T, N, true> : GradientKernel<T, N, false>);
}

}  // namespace

absl::Status CrossEntropy(CudaContext& cuda, const CrossEntropyArgs& args) {
  const int64_t count = args.logits.dims[0];
  if (args.logits.element_count() == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  TUNESMITH_ASSIGN_OR_RETURN(double* const losses, ScratchFor<double>(cuda, count));
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.logits.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(args.logits.dims[1], {args.logits.data}, [&](auto pack) {
      const LaunchShape shape = {BlockCount(count, 1), dim3(2 * kBlockSize)};
      return LaunchKernel(LossKernel<T, pack.value>, shape, stream,
                          static_cast<int>(args.logits.dims[1] / pack.value),
                          args.logits.as<const Pack<T, pack.value>>(),
                          args.labels.as<const int32_t>(), losses);
    });
  }));
  return AddLosses(count, losses, args.loss_sum, stream);
}

absl::Status CrossEntropyInPlace(CudaContext& cuda, const CrossEntropyInPlaceArgs& args) {
  const int64_t count = args.logits.dims[0];
  if (args.logits.element_count() == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  TUNESMITH_ASSIGN_OR_RETURN(double* const losses, ScratchFor<double>(cuda, count));
  TUNESMITH_RETURN_IF_ERROR(VisitFloat(args.logits.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(args.logits.dims[1], {args.logits.data}, [&](auto pack) {
      return LaunchGradient<T, pack.value>(args, losses, stream);
    });
  }));
  return AddLosses(count, losses, args.loss_sum, stream);
}

}  // namespace tunesmith::trainer::cuda
