#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/dtype.h"
#include "trainer/cuda/cuda_context.h"

// Matrix products for the ops: row-major, strided-batched, f32 accumulation (no TF32).
namespace tunesmith::trainer {

// A batch of row-major matrices in device memory. Strides are in elements.
struct GemmOperand {
  const void* data = nullptr;
  int64_t row_stride = 0;
  int64_t batch_stride =
      0;  // 0: every product of the batch reads the same matrix (not for the output)
};

struct GemmArgs {
  int64_t m = 0, n = 0, k = 0;
  int64_t batch_count = 1;
  DType input_dtype = DType::kF32;   // of a and b: f32 or bf16
  DType output_dtype = DType::kF32;  // of c and d: input_dtype or f32
  GemmOperand a;                     // (m, k), or (k, m) when transposed
  bool transpose_a = false;
  GemmOperand b;  // (k, n), or (n, k) when transposed
  bool transpose_b = false;
  GemmOperand c;  // (m, n); read only when beta is not 0; may be d, with the same strides
  GemmOperand d;  // (m, n), out
  const void* bias =
      nullptr;  // (n) of output_dtype, added to every row before it is rounded; null: none
  float alpha = 1.0f;
  float beta = 0.0f;
};

// d = alpha * op(a) op(b) + beta * c + bias, put on the context's stream, through cublasLt, by an
// algorithm that stays within the context's workspace, kept for calls of the same shape, strides
// and alignment: the one that CudaContext::TuneProducts measured as the quickest, else the first
// of the heuristic's. Where cublasLt offers none (odd strides) a plain kernel computes it. Empty
// sums (k = 0) are zero. Within TuneProducts the product itself is left out.
absl::Status Gemm(CudaContext& cuda, const GemmArgs& args);

}  // namespace tunesmith::trainer
