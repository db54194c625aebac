#include "trainer/cuda/cublaslt.h"

#include <string>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/library.h"

namespace tunesmith::trainer {
namespace {

absl::StatusOr<CublasLt> Load() {
  TUNESMITH_ASSIGN_OR_RETURN(
      void* library,
      OpenLibrary(
          "cublasLt of CUDA 12 or 13", "NVIDIA's libcublas package", "TUNESMITH_CUBLASLT",
          {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13",
           "/usr/local/cuda/lib64/libcublasLt.so.12"}));
  CublasLt lt;
  absl::Status status;
  const auto look = [&](const char* name, auto& function) {
    status.Update(Look("libcublasLt", library, name, function));
  };
  look("cublasLtCreate", lt.create);
  look("cublasLtDestroy", lt.destroy);
  look("cublasLtGetVersion", lt.version);
  look("cublasLtGetStatusString", lt.status_string);
  look("cublasLtMatmul", lt.matmul);
  look("cublasLtMatmulAlgoGetHeuristic", lt.get_heuristic);
  look("cublasLtMatmulDescCreate", lt.desc_create);
  look("cublasLtMatmulDescDestroy", lt.desc_destroy);
  look("cublasLtMatmulDescSetAttribute", lt.desc_set);
  look("cublasLtMatrixLayoutCreate", lt.layout_create);
  look("cublasLtMatrixLayoutDestroy", lt.layout_destroy);
  look("cublasLtMatrixLayoutSetAttribute", lt.layout_set);
  look("cublasLtMatmulPreferenceCreate", lt.preference_create);
  look("cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
  look("cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  TUNESMITH_RETURN_IF_ERROR(status);
  return lt;
}

}  // namespace

absl::StatusOr<const CublasLt*> LoadCublasLt() {
  // Leaked, so that contexts that are destroyed at exit still find it.
  static const auto* const loaded = new absl::StatusOr<CublasLt>(Load());
  TUNESMITH_RETURN_IF_ERROR(loaded->status());
  return &**loaded;
}

absl::Status CublasLtStatus(const CublasLt& lt, cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message = StrCat(call, ": ", lt.status_string(status));
  if (status == CUBLAS_STATUS_ALLOC_FAILED) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

}  // namespace tunesmith::trainer
