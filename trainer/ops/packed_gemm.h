#pragma once

#include "trainer/ops/blas.h"
#include "trainer/thread_pool.h"

// The trainer's own f32 matrix product for processors with AVX-512 or AVX2.
//
// OpenBLAS packs both operands for every call, and a product that is cut into parts for several threads is several calls: at the shapes of a
// small model 22 % of its time went into packing (perf, SmolLM2-135M, 0.3.21). Here a part packs what it must, once, and reads the rest where it
// lies.
namespace tunesmith::trainer::cpu {

// True where this processor can run it.
bool HasPackedGemm();

// C = alpha * op(A) op(B) + beta * C on the pool. The result does not depend on the number of threads. REQUIRES: HasPackedGemm(); beta is 0 or 1;
// no size is zero.
void RunPackedGemm(ThreadPool& threads, const Gemm<float>& gemm);

}  // namespace tunesmith::trainer::cpu
