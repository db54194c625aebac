#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/dropout_bits.h"
#include "trainer/ops/dropout_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

struct Drop {
  const uint64_t* key;
  uint64_t module_key;
  int64_t layer, context, row_begin, width;
  uint32_t threshold;
  float factor;
  bool accumulate;
};

// One block per token.
template <typename T>
__global__ void DropKernel(Drop d, const T* x, T* y) {
  const int64_t n = blockIdx.x;
  const int64_t at = static_cast<int64_t>(d.key[1]) + d.row_begin + n;
  const uint64_t key =
      DropoutTokenKey(d.key[0], d.module_key, d.layer, at / d.context, at % d.context);
  for (int64_t e = threadIdx.x; e < d.width; e += blockDim.x) {
    const int64_t i = n * d.width + e;
    const float kept = DropoutBits(key, e) >= d.threshold ? d.factor * ToFloat(x[i]) : 0.0f;
    y[i] = FromFloat<T>(d.accumulate ? ToFloat(y[i]) + kept : kept);
  }
}

}  // namespace

absl::Status Dropout(CudaContext& cuda, const DropoutArgs& args) {
  if (args.x.element_count() == 0) return absl::OkStatus();
  const Drop d = {.key = args.key.as<const uint64_t>(),
                  .module_key = args.module_key,
                  .layer = args.layer,
                  .context = args.context,
                  .row_begin = args.row_begin,
                  .width = args.x.dims[1],
                  .threshold = DropoutThreshold(args.share),
                  .factor = static_cast<float>(1 / (1 - args.share)),
                  .accumulate = args.accumulate};
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchKernel(DropKernel<T>, {BlockCount(args.x.dims[0], 1)}, cuda.impl().stream.get(), d,
                        args.x.as<const T>(), args.y.as<T>());
  });
}

}  // namespace tunesmith::trainer::cuda
