#pragma once

#include <cstdint>

#include "trainer/ops/storage.h"

// Products of bf16 tiles by the processor's dot products of pairs (AVX512_BF16, Zen 4 and Cooper Lake onwards): twice the multiply-adds of an f32 instruction, and
// nothing is widened. Products are exact, sums are f32; subnormal numbers count as zero.
namespace tunesmith::trainer::cpu {

// Whether this processor has them.
bool HasPairProducts();

// C (m, n) f32, row-major, = alpha * op(A) op(B), or C + that; op transposes where asked, so A is (m, k), or (k, m) if transposed.
struct PairProduct {
  bool transpose_a = false;
  bool transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  float alpha = 1;
  const Bf16* a = nullptr;
  int64_t a_stride = 0;  // between rows, in elements
  const Bf16* b = nullptr;
  int64_t b_stride = 0;
  bool accumulate = false;
  float* c = nullptr;
  int64_t c_stride = 0;
};

// Elements of f32 that what is packed takes: half of A, and 32 columns of half of B.
int64_t PairScratchElements(int64_t m, int64_t k);

// On the calling thread. REQUIRES: HasPairProducts(); no size is zero; `scratch` has PairScratchElements.
void RunPairProduct(const PairProduct& product, float* scratch);

}  // namespace tunesmith::trainer::cpu
