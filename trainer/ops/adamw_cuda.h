#pragma once

#include "absl/status/status.h"
#include "trainer/ops/adamw.h"

// CUDA kernels of trainer/ops/adamw.h, put on the context's stream. REQUIRES: arguments that passed
// its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status AdamW(CudaContext& cuda, const AdamWArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
