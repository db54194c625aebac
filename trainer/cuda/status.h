#pragma once

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "common/dtype.h"

// For files that include CUDA's headers alone.
namespace tunesmith::trainer {

// The status of a CUDA call. Only "out of memory" is RESOURCE_EXHAUSTED; no driver, no device and
// an old driver are UNAVAILABLE with the cure; everything else is INTERNAL. `what` is the call.
absl::Status CudaStatus(cudaError_t error, const char* what, const char* file, int line);

// UNIMPLEMENTED: a kernel was asked to compute in neither f32 nor bf16.
absl::Status UnsupportedDType(DType dtype);

}  // namespace tunesmith::trainer

// Returns from the enclosing function when the CUDA runtime call `expr` fails.
#define CUDA_RETURN_IF_ERROR(expr)                                                          \
  do {                                                                                      \
    if (cudaError_t cuda_macro_error = (expr); cuda_macro_error != cudaSuccess)             \
      return ::tunesmith::trainer::CudaStatus(cuda_macro_error, #expr, __FILE__, __LINE__); \
  } while (false)
