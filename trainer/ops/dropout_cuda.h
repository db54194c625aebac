#pragma once

#include "absl/status/status.h"
#include "trainer/ops/dropout.h"

// CUDA kernel of trainer/ops/dropout.h, put on the context's stream. REQUIRES: arguments that
// passed its checks. Without CUDA trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status Dropout(CudaContext& cuda, const DropoutArgs& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
