#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "planner/program/op.h"
#include "trainer/ops/blas.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/storage.h"
#include "trainer/thread_pool.h"

// Matrix products where an operand or the result is bf16: tile by tile, with f32 sums that are rounded once. Operands of bf16 are multiplied as they are where the
// processor can (pair_product.h), else widened to f32 in scratch and multiplied by OpenBLAS.
namespace tunesmith::trainer::cpu {

// C (m, n) = alpha * op(A) op(B) + addend, row-major; op transposes where asked, so A is (m, k), or (k, m) if transposed. Any size may be
// zero.
template <typename S, typename A>
struct MixedGemm {
  bool transpose_a = false;
  bool transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  float alpha = 1;
  const S* a = nullptr;
  int64_t a_stride = 0;  // between rows, in elements
  const S* b = nullptr;
  int64_t b_stride = 0;
  const A* addend = nullptr;  // may be c; null: nothing is added
  int64_t addend_stride = 0;  // 0: one row for all
  A* c = nullptr;
  int64_t c_stride = 0;
};

// On the pool. `workspace` (f32) as planner/program/linear_workspace.h says: INVALID_ARGUMENT, naming `op`, when it serves no worker. A single
// row times B transposed needs none.
template <typename S, typename A>
absl::Status RunMixedGemm(planner::OpKind op, const Blas& blas, ThreadPool& threads,
                          const MixedGemm<S, A>& gemm, const Tensor& workspace);

extern template absl::Status RunMixedGemm(planner::OpKind, const Blas&, ThreadPool&,
                                          const MixedGemm<Bf16, Bf16>&, const Tensor&);
extern template absl::Status RunMixedGemm(planner::OpKind, const Blas&, ThreadPool&,
                                          const MixedGemm<Bf16, float>&, const Tensor&);
extern template absl::Status RunMixedGemm(planner::OpKind, const Blas&, ThreadPool&,
                                          const MixedGemm<float, Bf16>&, const Tensor&);

}  // namespace tunesmith::trainer::cpu
