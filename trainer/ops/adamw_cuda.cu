#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/adamw_cuda.h"
#include "trainer/ops/dynamic_map.h"
#include "trainer/ops/update_cuda.cuh"

namespace tunesmith::trainer::cuda {
namespace {

// P: the parameter, G: the gradient, M: the moments.
template <typename P, typename G, typename M, int N>
struct KernelArgs {
  int64_t pack_count;
  const Pack<G, N>* gradient;
  const float* clip_factor;
  const float* scalars;
  Pack<P, N>* parameter;
  Pack<M, N>* moment1;
  Pack<M, N>* moment2;
  Pack<float, N>* master;  // null: the parameter is its own master
  UpdateKey key;
  bool decays;
};

struct Element {
  float parameter, moment1, moment2;
};

__device__ Element Update(Element e, float gradient, const float* s, bool decays) {
  const float learning_rate = s[planner::kLearningRate];
  const float beta1 = s[planner::kBeta1];
  const float beta2 = s[planner::kBeta2];
  e.moment1 = beta1 * e.moment1 + (1.0f - beta1) * gradient;
  e.moment2 = beta2 * e.moment2 + (1.0f - beta2) * gradient * gradient;
  if (decays) e.parameter *= 1.0f - learning_rate * s[planner::kWeightDecay];
  const float m = e.moment1 / s[planner::kBiasCorrection1];
  const float v = e.moment2 / s[planner::kBiasCorrection2];
  e.parameter -= learning_rate * m / (sqrtf(v) + s[planner::kEpsilon]);
  return e;
}

template <typename P, typename G, typename M, int N>
__global__ void AdamWKernel(KernelArgs<P, G, M, N> k) {
  const int64_t i = GlobalThread();
  if (i >= k.pack_count) return;
  const float clip = *k.clip_factor;
  const Pack<G, N> gradient = k.gradient[i];
  Pack<P, N> parameter = k.parameter[i];
  Pack<M, N> moment1 = k.moment1[i];
  Pack<M, N> moment2 = k.moment2[i];
  Pack<float, N> master = {};
  if (k.master != nullptr) master = k.master[i];
  for (int j = 0; j < N; ++j) {
    const float p = k.master != nullptr ? master.values[j] : ToFloat(parameter.values[j]);
    const Element e = Update({p, ToFloat(moment1.values[j]), ToFloat(moment2.values[j])},
                             ToFloat(gradient.values[j]) * clip, k.scalars, k.decays);
    const uint64_t random = k.key.RandomBitsOf(i * N + j);
    master.values[j] = e.parameter;
    parameter.values[j] = k.master != nullptr
                              ? FromFloat<P>(e.parameter)
                              : RoundStochastic<P>(e.parameter, random >> kParameterShift);
    moment1.values[j] = RoundStochastic<M>(e.moment1, random >> kMoment1Shift);
    moment2.values[j] = RoundStochastic<M>(e.moment2, random >> kMoment2Shift);
  }
  k.parameter[i] = parameter;
  k.moment1[i] = moment1;
  k.moment2[i] = moment2;
  if (k.master != nullptr) k.master[i] = master;
}

template <typename P, typename G, typename M, int N>
absl::Status Launch(const AdamWArgs& args, cudaStream_t stream) {
  const KernelArgs<P, G, M, N> k = {
      .pack_count = args.parameter.element_count() / N,
      .gradient = args.gradient.as<const Pack<G, N>>(),
      .clip_factor = args.clip_factor.as<const float>(),
      .scalars = args.step_scalars.as<const float>(),
      .parameter = args.parameter.as<Pack<P, N>>(),
      .moment1 = args.moment1.as<Pack<M, N>>(),
      .moment2 = args.moment2.as<Pack<M, N>>(),
      .master = args.master.as<Pack<float, N>>(),
      .key = KeyOf(args),
      .decays = args.decays,
  };
  return LaunchKernel(AdamWKernel<P, G, M, N>, {BlockCount(k.pack_count)}, stream, k);
}

// Four elements: at most 16 bytes of any of the tensors.
constexpr int kPack = 4;

template <typename P, typename G, typename M>
bool CanPackAll(const AdamWArgs& args) {
  const int64_t count = args.parameter.element_count();
  return CanPack<P, kPack>(count, {args.parameter.data}) &&
         CanPack<G, kPack>(count, {args.gradient.data}) &&
         CanPack<M, kPack>(count, {args.moment1.data, args.moment2.data}) &&
         CanPack<float, kPack>(count, {args.master.data});
}

template <typename P, typename G, typename M>
absl::Status LaunchPacked(const AdamWArgs& args, cudaStream_t stream) {
  if (CanPackAll<P, G, M>(args)) return Launch<P, G, M, kPack>(args, stream);
  return Launch<P, G, M, 1>(args, stream);
}

// ---- Moments in 8 bits --------------------------------------------------------------------------

template <typename P, typename G>
struct CodedArgs {
  int64_t count;
  const G* gradient;
  const float* clip_factor;
  const float* scalars;
  P* parameter;
  uint8_t* moment1;
  uint8_t* moment2;
  float* moment1_scale;
  float* moment2_scale;
  float* master;  // null: the parameter is its own master
  UpdateKey key;
  bool decays;
};

__constant__ DynamicMap signed_map = MakeDynamicMap(true);
__constant__ DynamicMap unsigned_map = MakeDynamicMap(false);

// The largest magnitude of the block becomes its scale; returns what to divide by.
__device__ float StoreScale(float magnitude, float* scale) {
  const float largest = BlockMax(magnitude);
  if (threadIdx.x == 0) *scale = largest;
  return largest > 0.0f ? largest : 1.0f;
}

// One thread block per block of elements that share a scale. Threads beyond the last element take part in the maxima with zeros.
template <typename P, typename G>
__global__ void CodedAdamWKernel(CodedArgs<P, G> k) {
  static_assert(kBlockSize == planner::kStateBlockSize);
  const int64_t i = GlobalThread();
  const bool exists = i < k.count;
  Element e = {};
  if (exists) {
    e.parameter = k.master != nullptr ? k.master[i] : ToFloat(k.parameter[i]);
    e.moment1 = signed_map.values[k.moment1[i]] * k.moment1_scale[blockIdx.x];
    e.moment2 = unsigned_map.values[k.moment2[i]] * k.moment2_scale[blockIdx.x];
    e = Update(e, ToFloat(k.gradient[i]) * *k.clip_factor, k.scalars, k.decays);
  }
  // BlockMax has barriers, so that every thread has read the old scales before they are replaced.
  const float scale1 = StoreScale(fabsf(e.moment1), k.moment1_scale + blockIdx.x);
  const float scale2 = StoreScale(fabsf(e.moment2), k.moment2_scale + blockIdx.x);
  if (!exists) return;
  k.moment1[i] = NearestCode(signed_map.midpoints.data(), e.moment1 / scale1);
  k.moment2[i] = NearestPositiveCode(unsigned_map.midpoints.data(), e.moment2 / scale2);
  if (k.master != nullptr) {
    k.master[i] = e.parameter;
    k.parameter[i] = FromFloat<P>(e.parameter);
  } else {
    k.parameter[i] = RoundStochastic<P>(e.parameter, k.key.RandomBitsOf(i) >> kParameterShift);
  }
}

template <typename P, typename G>
absl::Status LaunchCoded(const AdamWArgs& args, cudaStream_t stream) {
  const CodedArgs<P, G> k = {
      .count = args.parameter.element_count(),
      .gradient = args.gradient.as<const G>(),
      .clip_factor = args.clip_factor.as<const float>(),
      .scalars = args.step_scalars.as<const float>(),
      .parameter = args.parameter.as<P>(),
      .moment1 = args.moment1.as<uint8_t>(),
      .moment2 = args.moment2.as<uint8_t>(),
      .moment1_scale = args.moment1_scale.as<float>(),
      .moment2_scale = args.moment2_scale.as<float>(),
      .master = args.master.as<float>(),
      .key = KeyOf(args),
      .decays = args.decays,
  };
  return LaunchKernel(CodedAdamWKernel<P, G>, {BlockCount(k.count)}, stream, k);
}

}  // namespace

absl::Status AdamW(CudaContext& cuda, const AdamWArgs& args) {
  if (args.parameter.element_count() == 0) return absl::OkStatus();
  for (const Tensor* tensor : {&args.clip_factor, &args.step_scalars}) {
    if (tensor->dtype != DType::kF32) return UnsupportedDType(tensor->dtype);
  }
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.parameter.dtype, [&](auto parameter) {
    return VisitFloat(args.gradient.dtype, [&](auto gradient) {
      if (args.moment1.dtype == DType::kU8)
        return LaunchCoded<decltype(parameter), decltype(gradient)>(args, stream);
      return VisitFloat(args.moment1.dtype, [&](auto moment) {
        return LaunchPacked<decltype(parameter), decltype(gradient), decltype(moment)>(args,
                                                                                       stream);
      });
    });
  });
}

}  // namespace tunesmith::trainer::cuda
