#pragma once

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// From 4-bit NormalFloat (trainer/ops/nf4.h) to the type that is computed in. Errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct DequantizeNf4Args {
  Tensor codes;  // (O, I / 2) u8
  Tensor
      absmax;  // one for each block of kNf4BlockSize elements of y: f32, or u8 with double quantization
  Tensor
      absmax_scale;  // with double quantization: one for each kNf4ScaleBlockSize of absmax, f32; else empty
  Tensor absmax_offset;  // likewise: (1) f32
  Tensor y;              // (O, I) T, out
};

// y = value of the code * absmax, computed in f32 and rounded once.
absl::Status DequantizeNf4(const OpContext& context, const DequantizeNf4Args& args);

}  // namespace tunesmith::trainer
