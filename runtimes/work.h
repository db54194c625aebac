#pragma once

#include "runtimes/setup.h"

// Work of one micro-batch on one GPU: floating-point operations and bytes moved, forward, recomputed and backward together.
namespace tunesmith::runtimes {

struct MicroWork {
  double gemm_flops = 0;
  double attention_flops = 0;  // causal half
  double elementwise_bytes = 0;
  double dequantization_bytes = 0;
};
MicroWork WorkOf(const RunSetup& setup);

}  // namespace tunesmith::runtimes
