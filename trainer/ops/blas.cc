#include "trainer/ops/blas.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "common/vector_unit.h"
#include "trainer/ops/packed_gemm.h"

namespace tunesmith::trainer::cpu {
namespace {

constexpr char kCoreTypeVariable[] = "OPENBLAS_CORETYPE";

// The name of OpenBLAS's kernels for this processor's vector instructions, or null to leave the
// choice to OpenBLAS.
const char* CoreType() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return "Cooperlake";
  if (WidestVectorUnit() == VectorUnit::k512) return "SkylakeX";
  if (WidestVectorUnit() == VectorUnit::k256) return "Haswell";
#endif
  return nullptr;
}

// The library reads the variable in its constructor.
void* OpenLibrary() {
  const char* core_type = std::getenv(kCoreTypeVariable) == nullptr ? CoreType() : nullptr;
  if (core_type != nullptr) setenv(kCoreTypeVariable, core_type, 1);
  void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (core_type != nullptr) unsetenv(kCoreTypeVariable);
  return library;
}

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

absl::StatusOr<Blas> Load() {
  void* library = OpenLibrary();
  if (library == nullptr) {
    return absl::FailedPreconditionError(StrCat("the CPU backend needs OpenBLAS (", dlerror(),
                                                "); install the package libopenblas0-pthread"));
  }
  Blas blas;
  decltype(&openblas_set_num_threads) set_thread_count = nullptr;
  const bool complete =
      Find(library, "cblas_sgemm", blas.sgemm) && Find(library, "cblas_dgemm", blas.dgemm) &&
      Find(library, "cblas_sgemv", blas.sgemv) && Find(library, "cblas_dgemv", blas.dgemv) &&
      Find(library, "openblas_get_corename", blas.core_name) &&
      Find(library, "openblas_set_num_threads", set_thread_count);
  if (!complete) return absl::FailedPreconditionError("libopenblas.so.0 lacks the C interface");
  set_thread_count(1);
  return blas;
}

void CallGemm(const Blas& blas, const Gemm<float>& g, CBLAS_TRANSPOSE a, CBLAS_TRANSPOSE b) {
  blas.sgemm(CblasRowMajor, a, b, static_cast<blasint>(g.m), static_cast<blasint>(g.n),
             static_cast<blasint>(g.k), g.alpha, g.a, static_cast<blasint>(g.a_stride), g.b,
             static_cast<blasint>(g.b_stride), g.beta, g.c, static_cast<blasint>(g.c_stride));
}

void CallGemm(const Blas& blas, const Gemm<double>& g, CBLAS_TRANSPOSE a, CBLAS_TRANSPOSE b) {
  blas.dgemm(CblasRowMajor, a, b, static_cast<blasint>(g.m), static_cast<blasint>(g.n),
             static_cast<blasint>(g.k), g.alpha, g.a, static_cast<blasint>(g.a_stride), g.b,
             static_cast<blasint>(g.b_stride), g.beta, g.c, static_cast<blasint>(g.c_stride));
}

// c (n) = alpha * B a + beta * c, B (n, k).
void CallGemv(const Blas& blas, const Gemm<float>& g) {
  blas.sgemv(CblasRowMajor, CblasNoTrans, static_cast<blasint>(g.n), static_cast<blasint>(g.k),
             g.alpha, g.b, static_cast<blasint>(g.b_stride), g.a, 1, g.beta, g.c, 1);
}

void CallGemv(const Blas& blas, const Gemm<double>& g) {
  blas.dgemv(CblasRowMajor, CblasNoTrans, static_cast<blasint>(g.n), static_cast<blasint>(g.k),
             g.alpha, g.b, static_cast<blasint>(g.b_stride), g.a, 1, g.beta, g.c, 1);
}

// An empty sum: C = beta * C.
template <typename T>
void ScaleOutput(const Gemm<T>& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      T& c = g.c[i * g.c_stride + j];
      c = g.beta == 0 ? T{0} : c * g.beta;
    }
  }
}

template <typename T>
void RunOnThread(const Blas& blas, const Gemm<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) return ScaleOutput(g);
  if (g.m == 1 && !g.transpose_a && g.transpose_b) return CallGemv(blas, g);
  CallGemm(blas, g, g.transpose_a ? CblasTrans : CblasNoTrans,
           g.transpose_b ? CblasTrans : CblasNoTrans);
}

// The tile of C that starts at (row, column).
template <typename T>
Gemm<T> Tile(const Gemm<T>& g, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  Gemm<T> tile = g;
  tile.m = std::min(rows, g.m - row);
  tile.n = std::min(columns, g.n - column);
  tile.a += g.transpose_a ? row : row * g.a_stride;
  tile.b += g.transpose_b ? column * g.b_stride : column;
  tile.c += row * g.c_stride + column;
  return tile;
}

// Rows and columns of C that one call of OpenBLAS computes. Large tiles are quicker: on one core, 512 x 4096 runs as the whole product
// does, 512 x 256 at nine tenths and 128 x 256 at two thirds of its speed. But there must be work for several threads, and the choice may
// not depend on how many there are.
struct TileShape {
  int64_t rows = 512;
  int64_t columns = 4096;
};

TileShape ChooseTile(int64_t m, int64_t n) {
  constexpr int64_t kEnoughTiles = 6, kMinRows = 64, kMinColumns = 256;
  TileShape tile;
  while (CeilDivide(m, tile.rows) * CeilDivide(n, tile.columns) < kEnoughTiles) {
    if (tile.columns > kMinColumns && tile.columns >= tile.rows) {
      tile.columns /= 2;
    } else if (tile.rows > kMinRows) {
      tile.rows /= 2;
    } else {
      break;
    }
  }
  return tile;
}

template <typename T>
void RunOnPool(const Blas& blas, ThreadPool& threads, const Gemm<T>& g) {
  const TileShape tile = ChooseTile(g.m, g.n);
  const int64_t column_tiles = CeilDivide(g.n, tile.columns);
  const int64_t tile_count = CeilDivide(g.m, tile.rows) * column_tiles;
  threads.ForEach(tile_count, threads.thread_count(), [&](int64_t item, int) {
    RunOnThread(blas, Tile(g, item / column_tiles * tile.rows, tile.rows,
                           item % column_tiles * tile.columns, tile.columns));
  });
}

}  // namespace

absl::StatusOr<const Blas*> LoadBlas() {
  static const absl::StatusOr<Blas>* const blas = new absl::StatusOr<Blas>(Load());
  if (!blas->ok()) return blas->status();
  return &**blas;
}

void RunGemm(const Blas& blas, const Gemm<float>& gemm) { RunOnThread(blas, gemm); }
void RunGemm(const Blas& blas, const Gemm<double>& gemm) { RunOnThread(blas, gemm); }

void RunGemm(const Blas& blas, ThreadPool& threads, const Gemm<float>& gemm) {
  const bool packs = gemm.m > 1 && gemm.n > 0 && gemm.k > 0 && (gemm.beta == 0 || gemm.beta == 1);
  if (packs && HasPackedGemm()) return RunPackedGemm(threads, gemm);
  RunOnPool(blas, threads, gemm);
}
void RunGemm(const Blas& blas, ThreadPool& threads, const Gemm<double>& gemm) {
  RunOnPool(blas, threads, gemm);
}

}  // namespace tunesmith::trainer::cpu
