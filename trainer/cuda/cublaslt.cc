#include "trainer/cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

std::vector<std::string> CandidateFiles() {
  if (const char* named = std::getenv("TUNESMITH_CUBLASLT"); named != nullptr && *named != '\0') {
    return {named};
  }
  return {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13",
          "/usr/local/cuda/lib64/libcublasLt.so.12"};
}

// The handle is never closed: the library lives as long as the process.
absl::StatusOr<void*> OpenLibrary() {
  std::string reasons;
  for (const std::string& file : CandidateFiles()) {
    if (void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", dlerror());
  }
  return absl::UnavailableError(
      StrCat("cublasLt of CUDA 12 or 13 is not found (", reasons,
             "); install NVIDIA's libcublas package, or name the file in TUNESMITH_CUBLASLT"));
}

template <typename Function>
absl::Status Look(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("libcublasLt has no function ", name,
                                              "; install NVIDIA's libcublas of CUDA 12 or 13"));
}

absl::StatusOr<CublasLt> Load() {
  TUNESMITH_ASSIGN_OR_RETURN(void* library, OpenLibrary());
  CublasLt lt;
  absl::Status status;
  status.Update(Look(library, "cublasLtCreate", lt.create));
  status.Update(Look(library, "cublasLtDestroy", lt.destroy));
  status.Update(Look(library, "cublasLtGetVersion", lt.version));
  status.Update(Look(library, "cublasLtGetStatusString", lt.status_string));
  status.Update(Look(library, "cublasLtMatmul", lt.matmul));
  status.Update(Look(library, "cublasLtMatmulAlgoGetHeuristic", lt.get_heuristic));
  status.Update(Look(library, "cublasLtMatmulDescCreate", lt.desc_create));
  status.Update(Look(library, "cublasLtMatmulDescDestroy", lt.desc_destroy));
  status.Update(Look(library, "cublasLtMatmulDescSetAttribute", lt.desc_set));
  status.Update(Look(library, "cublasLtMatrixLayoutCreate", lt.layout_create));
  status.Update(Look(library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy));
  status.Update(Look(library, "cublasLtMatrixLayoutSetAttribute", lt.layout_set));
  status.Update(Look(library, "cublasLtMatmulPreferenceCreate", lt.preference_create));
  status.Update(Look(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy));
  status.Update(Look(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set));
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
