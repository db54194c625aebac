#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/adamw_cuda.h"

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
    master.values[j] = e.parameter;
    parameter.values[j] = FromFloat<P>(e.parameter);
    moment1.values[j] = FromFloat<M>(e.moment1);
    moment2.values[j] = FromFloat<M>(e.moment2);
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
      .decays = args.decays,
  };
  AdamWKernel<<<BlockCount(k.pack_count), kBlockSize, 0, stream>>>(k);
  return LaunchStatus();
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

}  // namespace

absl::Status AdamW(CudaContext& cuda, const AdamWArgs& args) {
  if (args.parameter.element_count() == 0) return absl::OkStatus();
  for (const Tensor* tensor : {&args.clip_factor, &args.step_scalars}) {
    if (tensor->dtype != DType::kF32) return UnsupportedDType(tensor->dtype);
  }
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.parameter.dtype, [&](auto parameter) {
    return VisitFloat(args.gradient.dtype, [&](auto gradient) {
      return VisitFloat(args.moment1.dtype, [&](auto moment) {
        return LaunchPacked<decltype(parameter), decltype(gradient), decltype(moment)>(args,
                                                                                       stream);
      });
    });
  });
}

}  // namespace tunesmith::trainer::cuda
