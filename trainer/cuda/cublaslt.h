#pragma once

#include <cublasLt.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// The functions of cublasLt that the project calls, looked up at run time: no binary links the
// library. Only functions that take handles and sizes are here, so that the headers' version (13)
// and the library's (12 or 13) may differ.
struct CublasLt {
  decltype(&::cublasLtCreate) create = nullptr;
  decltype(&::cublasLtDestroy) destroy = nullptr;
  decltype(&::cublasLtGetVersion) version = nullptr;
  decltype(&::cublasLtGetStatusString) status_string = nullptr;
  decltype(&::cublasLtMatmul) matmul = nullptr;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) get_heuristic = nullptr;
  decltype(&::cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&::cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&::cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&::cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&::cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&::cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&::cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&::cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
};

// Loads the library once per process; later calls return the same. The file named by the
// environment variable TUNESMITH_CUBLASLT comes first, then the loader's libcublasLt.so.13 and .12,
// then those of /usr/local/cuda. UNAVAILABLE where none loads, with the loader's reason for each;
// FAILED_PRECONDITION where it lacks a function.
absl::StatusOr<const CublasLt*> LoadCublasLt();

// OK, or INTERNAL naming the call and the library's reason (RESOURCE_EXHAUSTED where it could not
// allocate).
absl::Status CublasLtStatus(const CublasLt& lt, cublasStatus_t status, const char* call);

}  // namespace tunesmith::trainer
