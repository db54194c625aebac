#pragma once

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "trainer/cuda/gemm.h"

namespace tunesmith::trainer {

// Gemm by a plain tiled kernel, on `stream`: any strides and alignments, k = 0 too. One f32
// multiply-add at a time, so far from the rate of cublasLt. REQUIRES: m, n and batch_count > 0,
// dtypes as Gemm's.
absl::Status GemmFallback(const GemmArgs& args, cudaStream_t stream);

}  // namespace tunesmith::trainer
