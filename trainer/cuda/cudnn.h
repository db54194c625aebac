#pragma once

#include <cudnn_graph.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// The functions of cuDNN 9 that the project calls, looked up at run time: no binary links the library. Only its backend is used, whose descriptors are made
// of attributes, so that the header's version and the library's may differ.
struct Cudnn {
  decltype(&::cudnnGetVersion) version = nullptr;
  decltype(&::cudnnGetErrorString) error_string = nullptr;
  decltype(&::cudnnGetLastErrorString) last_error = nullptr;
  decltype(&::cudnnCreate) create = nullptr;
  decltype(&::cudnnDestroy) destroy = nullptr;
  decltype(&::cudnnSetStream) set_stream = nullptr;
  decltype(&::cudnnBackendCreateDescriptor) descriptor_create = nullptr;
  decltype(&::cudnnBackendDestroyDescriptor) descriptor_destroy = nullptr;
  decltype(&::cudnnBackendFinalize) descriptor_finalize = nullptr;
  decltype(&::cudnnBackendSetAttribute) descriptor_set = nullptr;
  decltype(&::cudnnBackendGetAttribute) descriptor_get = nullptr;
  decltype(&::cudnnBackendExecute) execute = nullptr;
};

// Loads the library once per process; later calls return the same. The file named by the environment variable TUNESMITH_CUDNN comes first, then the loader's
// libcudnn.so.9, then that of /usr/local/cuda. UNAVAILABLE where none loads, with the loader's reason for each; FAILED_PRECONDITION where it lacks a function or
// its version is refused.
absl::StatusOr<const Cudnn*> LoadCudnn();

// FAILED_PRECONDITION, with the cure, for versions whose attention is faulty or that nobody has tried: what is not 9.x, 9.15.0 and older. `version` is
// cudnnGetVersion's, 91900 for 9.19.0.
absl::Status CheckCudnnVersion(int64_t version);

// OK, or the call, cuDNN's reason and the text of its last error: UNIMPLEMENTED where it does not support what was asked, RESOURCE_EXHAUSTED where it could not
// allocate, else INTERNAL.
absl::Status CudnnStatus(const Cudnn& cudnn, cudnnStatus_t status, const char* call);

// Why the last call of this thread failed, or found nothing, in cuDNN's words and one line; may be empty.
std::string CudnnLastError(const Cudnn& cudnn);

}  // namespace tunesmith::trainer
