#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "trainer/cuda/cublaslt.h"
#include "trainer/cuda/gemm.h"
#include "trainer/cuda/gemm_choices.h"

namespace tunesmith::trainer {

// Destroys a cublasLt descriptor with the function of the table that made it.
template <typename Handle>
struct LtDeleter {
  cublasStatus_t (*destroy)(Handle) = nullptr;
  void operator()(std::remove_pointer_t<Handle>* handle) const { destroy(handle); }
};
template <typename Handle>
using LtPointer = std::unique_ptr<std::remove_pointer_t<Handle>, LtDeleter<Handle>>;

// What cublasLtMatmul needs beside addresses and scalars. In cublasLt's column-major terms: the
// row-major product's operands are swapped.
struct GemmPlan {
  LtPointer<cublasLtMatmulDesc_t> desc;
  LtPointer<cublasLtMatrixLayout_t> a, b, c, d;
  cublasLtMatmulAlgo_t algorithm{};
  std::vector<cublasLtMatmulAlgo_t> candidates;  // to choose from, likeliest first; empty: chosen
};

// The bias of the next product by this description, which has the epilogue for one.
absl::Status SetGemmBias(const CublasLt& lt, cublasLtMatmulDesc_t desc, const void* bias);

// Plans by shape, dtypes, strides and alignments. Not thread safe.
class GemmPlans {
 public:
  explicit GemmPlans(const CublasLt& lt) : lt_(lt) {}

  static GemmKey KeyOf(const GemmArgs& args);

  // Owned by this; valid until the next call. Null where cublasLt has no algorithm for these
  // arguments. A new plan takes the likeliest algorithm and offers up to `candidate_count` to
  // choose from, where that is more than one.
  absl::StatusOr<GemmPlan*> Find(cublasLtHandle_t handle, const GemmArgs& args,
                                 int64_t workspace_bytes, int candidate_count = 1);

 private:
  absl::StatusOr<std::optional<GemmPlan>> Make(cublasLtHandle_t handle, const GemmArgs& args,
                                               int64_t workspace_bytes, int candidate_count) const;

  const CublasLt& lt_;
  absl::flat_hash_map<GemmKey, std::optional<GemmPlan>> plans_;
};

}  // namespace tunesmith::trainer
