#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/sgd_cuda.h"
#include "trainer/ops/update_cuda.cuh"

namespace tunesmith::trainer::cuda {
namespace {

// P: the parameter, G: the gradient.
template <typename P, typename G>
struct KernelArgs {
  int64_t count;
  const G* gradient;
  const float* clip_factor;
  const float* scalars;
  P* parameter;
  float* master;  // null: the parameter is its own master
  UpdateKey key;
  bool decays;
};

template <typename P, typename G>
__global__ void SgdKernel(KernelArgs<P, G> k) {
  const int64_t i = GlobalThread();
  if (i >= k.count) return;
  const float learning_rate = k.scalars[planner::kLearningRate];
  float p = k.master != nullptr ? k.master[i] : ToFloat(k.parameter[i]);
  const float step = learning_rate * *k.clip_factor * ToFloat(k.gradient[i]);
  if (k.decays) p *= 1.0f - learning_rate * k.scalars[planner::kWeightDecay];
  p -= step;
  if (k.master != nullptr) {
    k.master[i] = p;
    k.parameter[i] = FromFloat<P>(p);
  } else {
    k.parameter[i] = RoundStochastic<P>(p, k.key.RandomBitsOf(i) >> kParameterShift);
  }
}

template <typename P, typename G>
absl::Status Launch(const SgdArgs& args, cudaStream_t stream) {
  const KernelArgs<P, G> k = {
      .count = args.parameter.element_count(),
      .gradient = args.gradient.as<const G>(),
      .clip_factor = args.clip_factor.as<const float>(),
      .scalars = args.step_scalars.as<const float>(),
      .parameter = args.parameter.as<P>(),
      .master = args.master.as<float>(),
      .key = KeyOf(args),
      .decays = args.decays,
  };
  return LaunchKernel(SgdKernel<P, G>, {BlockCount(k.count)}, stream, k);
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
      return Launch<decltype(parameter), decltype(gradient)>(args, stream);
    });
  });
}

}  // namespace tunesmith::trainer::cuda
