#pragma once

#include "absl/status/status.h"
#include "trainer/ops/gather_rows.h"

// CUDA kernels of trainer/ops/gather_rows.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status GatherRows(CudaContext& cuda, const GatherRowsArgs& args);
absl::Status ScatterRows(CudaContext& cuda, const ScatterRowsArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
