#include "trainer/cuda/status.h"

#include <string>

#include "common/str_cat.h"
#include "trainer/cuda/cuda_context.h"

namespace tunesmith::trainer {
namespace {

std::string RequiredVersion() { return CudaVersionText(CUDART_VERSION); }

// Where there is no libcuda the runtime, too, reports an insufficient driver, of version 0.
absl::Status InsufficientDriver() {
  int driver_version = 0;
  if (cudaDriverGetVersion(&driver_version) != cudaSuccess || driver_version == 0) {
    return absl::UnavailableError(
        "no NVIDIA driver on this host (libcuda.so.1 is not found); install the driver, or use "
        "--device cpu");
  }
  return absl::UnavailableError(StrCat("the NVIDIA driver runs CUDA ",
                                       CudaVersionText(driver_version),
                                       " at most and this binary needs ", RequiredVersion(),
                                       "; install a newer driver, or use --device cpu"));
}

// What is wrong with the host or its driver, and not with the work; null: nothing that is known.
const char* HostTroubleOf(cudaError_t error) {
  switch (error) {
    case cudaErrorNoDevice:
      return "the NVIDIA driver sees no device; look at nvidia-smi and "
             "CUDA_VISIBLE_DEVICES, or use --device cpu";
    case cudaErrorDevicesUnavailable:
      return "the GPU is held by another process in exclusive mode, or has failed; look at "
             "nvidia-smi, or name another device";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "this binary has no kernels for the GPU's architecture; build it with "
             "TUNESMITH_CUDA_ARCHITECTURES naming that, or name another device";
    case cudaErrorSystemNotReady:
      return "the driver's daemons are not all running; on hosts with NVSwitch start "
             "nvidia-fabricmanager";
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return "the NVIDIA driver's kernel module and its libraries are of versions that do not go "
             "together; "
             "restart the host after an update, or mount the host's own libraries into the "
             "container";
    default:
      return nullptr;
  }
}

// What a kernel did wrong shows at a later call, which knows the step but not the op.
const char* CureOf(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
      return "; the GPU's memory has failed: go on from the last checkpoint on another GPU, and "
             "look at nvidia-smi -q -d ECC of this one";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
      return "; a kernel has failed before this call: CUDA_LAUNCH_BLOCKING=1 has the op named";
    case cudaErrorLaunchTimeout:
      return "; the driver limits how long a kernel may run, as it does where the GPU also drives "
             "a display: use another GPU";
    default:
      return "";
  }
}

}  // namespace

absl::Status CudaStatus(cudaError_t error, const char* what, const char* file, int line) {
  if (error == cudaSuccess) return absl::OkStatus();
  if (error == cudaErrorInsufficientDriver) return InsufficientDriver();
  if (const char* const trouble = HostTroubleOf(error); trouble != nullptr)
    return absl::UnavailableError(StrCat(trouble, " (", cudaGetErrorName(error), ")"));
  const std::string message = StrCat(cudaGetErrorName(error), ": ", cudaGetErrorString(error), " (",
                                     what, " at ", file, ":", line, ")", CureOf(error));
  if (error == cudaErrorMemoryAllocation) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

absl::Status UnsupportedDType(DType dtype) {
  return absl::UnimplementedError(StrCat("the CUDA kernels compute in f32 and bf16, not in ",
                                         DTypeName(dtype), "; use --device cpu"));
}

}  // namespace tunesmith::trainer
