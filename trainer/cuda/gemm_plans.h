#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "trainer/cuda/cublaslt.h"
#include "trainer/cuda/gemm.h"

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
};

// Plans by shape, dtypes, strides and alignments. Not thread safe.
class GemmPlans {
 public:
  explicit GemmPlans(const CublasLt& lt) : lt_(lt) {}

  // Owned by this; valid until the next call. Null where cublasLt has no algorithm for these
  // arguments.
  absl::StatusOr<const GemmPlan*> Find(cublasLtHandle_t handle, const GemmArgs& args,
                                       int64_t workspace_bytes);

 private:
  using Key = std::array<int64_t, 20>;
  static Key KeyOf(const GemmArgs& args);
  absl::StatusOr<std::optional<GemmPlan>> Make(cublasLtHandle_t handle, const GemmArgs& args,
                                               int64_t workspace_bytes) const;

  const CublasLt& lt_;
  absl::flat_hash_map<Key, std::optional<GemmPlan>> plans_;
};

}  // namespace tunesmith::trainer
