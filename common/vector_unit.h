#pragma once

namespace tunesmith {

// How wide this processor's vectors are, in the steps that the trainer's kernels are compiled for (x86-64-v3 and v4).
enum class VectorUnit {
  k128,  // SSE2 or Neon
  k256,  // AVX2 with FMA
  k512,  // AVX-512 F, VL, DQ and BW
};
VectorUnit WidestVectorUnit();
// Whether it multiplies vectors of bf16 pairs, with sums in f32 (AVX512_BF16): twice the multiply-adds of an f32 instruction.
bool HasBf16Pairs();

}  // namespace tunesmith
