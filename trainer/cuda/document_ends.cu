#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/document_ends.h"
#include "trainer/cuda/kernel.cuh"

namespace tunesmith::trainer {
namespace {

// A thread for each token looks for the first start beyond its own, by halves.
__global__ void DocumentEndsKernel(const int32_t* starts, int64_t token_count, int context,
                                   int32_t* ends) {
  const int64_t token = GlobalThread();
  if (token >= token_count) return;
  const int t = static_cast<int>(token % context);
  const int32_t* const row = starts + token - t;
  const int32_t start = row[t];
  int first = t + 1;
  int end = context;
  while (first < end) {
    const int middle = first + (end - first) / 2;
    if (row[middle] > start) {
      end = middle;
    } else {
      first = middle + 1;
    }
  }
  ends[token] = first;
}

}  // namespace

absl::Status DocumentEnds(CudaContext& cuda, const Tensor& starts, int64_t context, int32_t* ends) {
  const int64_t token_count = starts.element_count();
  if (token_count == 0) return absl::OkStatus();
  return LaunchKernel(DocumentEndsKernel, {BlockCount(token_count)}, cuda.impl().stream.get(),
                      starts.as<const int32_t>(), token_count, static_cast<int>(context), ends);
}

}  // namespace tunesmith::trainer
