#pragma once

#include "absl/status/status.h"
#include "trainer/ops/sgd.h"

// CUDA kernels of trainer/ops/sgd.h, put on the context's stream. REQUIRES: arguments that passed
// its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Sgd(CudaContext& cuda, const SgdArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
