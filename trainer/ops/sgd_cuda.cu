#include <algorithm>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/sgd_cuda.h"
#include "trainer/ops/update_cuda.cuh"

namespace tunesmith::trainer::cuda {
namespace {

// P: the parameter, G: the gradient.
template <typename P, typename G, int N>
struct KernelArgs {
  int64_t pack_count;
  const Pack<G, N>* gradient;
  const float* clip_factor;
  const float* scalars;
  Pack<P, N>* parameter;
  Pack<float, N>* master;  // null: the parameter is its own master
  UpdateKey key;
  bool decays;
};

template <typename P, typename G, int N>
__global__ void SgdKernel(KernelArgs<P, G, N> k) {
  const int64_t i = GlobalThread();
  if (i >= k.pack_count) return;
  const Pack<G, N> gradient = k.gradient[i];
  Pack<float, N> values = ParametersAt(k.master, k.parameter, i);
  const ElementBits bits(k.key);
  const float learning_rate = k.scalars[planner::kLearningRate];
  const float step = learning_rate * *k.clip_factor;
  const float kept = k.decays ? 1.0f - learning_rate * k.scalars[planner::kWeightDecay] : 1.0f;
  Pack<P, N> parameter;
  for (int j = 0; j < N; ++j) {
    const float p = values.values[j] * kept - step * ToFloat(gradient.values[j]);
    values.values[j] = p;
    parameter.values[j] = StoredParameter<P>(p, k.master != nullptr, bits.Of(i * N + j));
  }
  k.parameter[i] = parameter;
  if (k.master != nullptr) k.master[i] = values;
}

template <typename P, typename G, int N>
absl::Status Launch(const SgdArgs& args, cudaStream_t stream) {
  const KernelArgs<P, G, N> k = {
      .pack_count = args.parameter.element_count() / N,
      .gradient = args.gradient.as<const Pack<G, N>>(),
      .clip_factor = args.clip_factor.as<const float>(),
      .scalars = args.step_scalars.as<const float>(),
      .parameter = args.parameter.as<Pack<P, N>>(),
      .master = args.master.as<Pack<float, N>>(),
      .key = KeyOf(args),
      .decays = args.decays,
  };
  return LaunchKernel(SgdKernel<P, G, N>, {BlockCount(k.pack_count)}, stream, k);
}

template <typename P, typename G>
absl::Status LaunchPacked(const SgdArgs& args, cudaStream_t stream) {
  // 16 bytes of the wider of both, as for AdamW.
  constexpr int kPack = 16 / std::max(sizeof(P), sizeof(G));
  const int64_t count = args.parameter.element_count();
  if (CanPack<P, kPack>(count, {args.parameter.data}) &&
      CanPack<G, kPack>(count, {args.gradient.data}) &&
      CanPack<float, kPack>(count, {args.master.data}))
    return Launch<P, G, kPack>(args, stream);
  return Launch<P, G, 1>(args, stream);
}

}  // namespace

absl::Status Sgd(CudaContext& cuda, const SgdArgs& args) {
  if (args.parameter.element_count() == 0) return absl::OkStatus();
  for (const Tensor* tensor : {&args.clip_factor, &args.step_scalars}) {
    if (tensor->dtype != DType::kF32) return UnsupportedDType(tensor->dtype);
  }
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.parameter.dtype, [&](auto parameter) {
    return VisitFloat(args.gradient.dtype, [&](auto gradient) {
      return LaunchPacked<decltype(parameter), decltype(gradient)>(args, stream);
    });
  });
}

}  // namespace tunesmith::trainer::cuda
