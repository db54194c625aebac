#pragma once

#include "absl/status/status.h"
#include "trainer/ops/elementwise.h"

// CUDA kernels of trainer/ops/elementwise.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Add(CudaContext& cuda, const AddArgs& args);
absl::Status SoftCap(CudaContext& cuda, const SoftCapArgs& args);
absl::Status Clear(CudaContext& cuda, const ClearArgs& args);
absl::Status Copy(CudaContext& cuda, const CopyArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
