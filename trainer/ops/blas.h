#pragma once

#include <cblas.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "trainer/thread_pool.h"

// Matrix products on the CPU through OpenBLAS.
//
// OpenBLAS is looked up at run time, on first use. Two reasons: a GPU host need not have it; and
// its own choice of kernels has to be overruled before it is loaded, because a release does not
// know processors newer than itself and falls back to SSE3 kernels on them (0.3.21 on Sapphire
// Rapids: 35 instead of 290 GFLOP/s). OPENBLAS_CORETYPE in the environment wins over ours.
//
// OpenBLAS runs on one thread; products are cut into tiles that the pool's threads take, so that
// one pool serves every op and results do not depend on the number of threads.
namespace tunesmith::trainer::cpu {

struct Blas {
  decltype(&cblas_sgemm) sgemm = nullptr;
  decltype(&cblas_dgemm) dgemm = nullptr;
  decltype(&cblas_sgemv) sgemv = nullptr;
  decltype(&cblas_dgemv) dgemv = nullptr;
  decltype(&openblas_get_corename) core_name = nullptr;
};

// The one instance, for the life of the process. FAILED_PRECONDITION says how to install OpenBLAS.
// Thread-safe; the first call sets and restores an environment variable, so no other thread may be
// reading the environment then.
absl::StatusOr<const Blas*> LoadBlas();

// C (m, n) = alpha * op(A) op(B) + beta * C, row-major; op transposes where asked, so A is (m, k),
// or (k, m) if transposed. With beta 0, C is not read. Any size may be zero.
template <typename T>
struct Gemm {
  bool transpose_a = false;
  bool transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  T alpha = 1;
  const T* a = nullptr;
  int64_t a_stride = 0;  // between rows, in elements
  const T* b = nullptr;
  int64_t b_stride = 0;
  T beta = 0;
  T* c = nullptr;
  int64_t c_stride = 0;
};

// On the calling thread. Thread-safe.
void RunGemm(const Blas& blas, const Gemm<float>& gemm);
void RunGemm(const Blas& blas, const Gemm<double>& gemm);

// On the pool.
void RunGemm(const Blas& blas, ThreadPool& threads, const Gemm<float>& gemm);
void RunGemm(const Blas& blas, ThreadPool& threads, const Gemm<double>& gemm);

}  // namespace tunesmith::trainer::cpu
