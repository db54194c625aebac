#include "trainer/cuda/cudnn.h"

#include <array>
#include <string>
#include <string_view>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/library.h"

namespace tunesmith::trainer {
namespace {

// From here on backward reads no memory that is not its own where a CUDA graph runs it over a context that is no multiple of 128 (notes of cudnn-frontend 1.16). Before it are also 9.10.0 and
// 9.10.1, whose attention NVIDIA's frontend refuses, large heads in backward (9.11 and 9.12), and versions that want a gradient's accumulator cleared (before 9.6).
constexpr int64_t kOldestVersion = 91501;

absl::StatusOr<Cudnn> Load() {
  TUNESMITH_ASSIGN_OR_RETURN(void* library,
                             OpenLibrary("cuDNN 9", "NVIDIA's cudnn9 package", "TUNESMITH_CUDNN",
                                         {"libcudnn.so.9", "/usr/local/cuda/lib64/libcudnn.so.9",
                                          "/usr/local/cuda/lib/libcudnn.so.9"}));
  Cudnn cudnn;
  absl::Status status;
  const auto look = [&](const char* name, auto& function) {
    status.Update(Look("cuDNN", library, name, function));
  };
  look("cudnnGetVersion", cudnn.version);
  look("cudnnGetErrorString", cudnn.error_string);
  look("cudnnGetLastErrorString", cudnn.last_error);
  look("cudnnCreate", cudnn.create);
  look("cudnnDestroy", cudnn.destroy);
  look("cudnnSetStream", cudnn.set_stream);
  look("cudnnBackendCreateDescriptor", cudnn.descriptor_create);
  look("cudnnBackendDestroyDescriptor", cudnn.descriptor_destroy);
  look("cudnnBackendFinalize", cudnn.descriptor_finalize);
  look("cudnnBackendSetAttribute", cudnn.descriptor_set);
  look("cudnnBackendGetAttribute", cudnn.descriptor_get);
  look("cudnnBackendExecute", cudnn.execute);
  TUNESMITH_RETURN_IF_ERROR(status);
  TUNESMITH_RETURN_IF_ERROR(CheckCudnnVersion(static_cast<int64_t>(cudnn.version())));
  return cudnn;
}

bool IsOutOfMemory(cudnnStatus_t status) {
  return status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
         status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

}  // namespace

absl::StatusOr<const Cudnn*> LoadCudnn() {
  // Leaked, so that plans that are destroyed at exit still find it.
  static const auto* const loaded = new absl::StatusOr<Cudnn>(Load());
  TUNESMITH_RETURN_IF_ERROR(loaded->status());
  return &**loaded;
}

absl::Status CheckCudnnVersion(int64_t version) {
  if (version >= kOldestVersion && version / 10000 == CUDNN_MAJOR) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("cuDNN ", version / 10000, ".", version / 100 % 100, ".", version % 100,
             " is not used: attention has faults in versions before 9.15.1, and other major "
             "versions are not known to work; install cuDNN 9.15.1 or a newer 9.x"));
}

absl::Status CudnnStatus(const Cudnn& cudnn, cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message =
      StrCat(call, ": ", cudnn.error_string(status), " (", CudnnLastError(cudnn), ")");
  if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED)
    return absl::UnimplementedError(message);
  if (IsOutOfMemory(status)) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

// cuDNN gives a stack of lines, the innermost first: "Error: CUDNN_STATUS_...; Reason: ... at: ...".
std::string CudnnLastError(const Cudnn& cudnn) {
  std::array<char, 4096> buffer = {};
  cudnn.last_error(buffer.data(), buffer.size());
  buffer.back() = '\0';
  constexpr std::string_view kReason = "Reason: ";
  std::string_view text = buffer.data();
  if (const size_t at = text.find(kReason); at != text.npos)
    text.remove_prefix(at + kReason.size());
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace tunesmith::trainer
