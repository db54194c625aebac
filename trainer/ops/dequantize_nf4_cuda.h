#pragma once

#include "absl/status/status.h"
#include "trainer/ops/dequantize_nf4.h"

// CUDA kernel of trainer/ops/dequantize_nf4.h, put on the context's stream. REQUIRES: arguments that passed its checks. Without CUDA
// trainer/ops/cuda_absent.cc answers.
namespace tunesmith::trainer {

class CudaContext;

namespace cuda {

absl::Status DequantizeNf4(CudaContext& cuda, const DequantizeNf4Args& args);

}  // namespace cuda
}  // namespace tunesmith::trainer
