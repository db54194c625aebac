#pragma once

#include "trainer/cuda/cuda_context.h"
#include "trainer/ops/split_columns.h"

// The CUDA kernels of trainer/ops/split_columns.h, whose checks have passed: queued on the compute stream.
namespace tunesmith::trainer::cuda {

absl::Status SplitColumns(CudaContext& cuda, const SplitColumnsArgs& args);
absl::Status JoinColumns(CudaContext& cuda, const JoinColumnsArgs& args);

}  // namespace tunesmith::trainer::cuda
