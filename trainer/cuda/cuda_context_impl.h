#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/str_cat.h"
#include "trainer/cuda/cublaslt.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/resources.h"

// For files that include CUDA's headers alone.
namespace tunesmith::trainer {

class CudnnEngines;
class GemmPlans;
class GemmTuner;

// The first error of what the host ran for the streams. Safe to use from any thread.
class HostErrors {
 public:
  absl::Status first() const {
    const std::lock_guard lock(mutex_);
    return first_;
  }
  void Keep(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    first_.Update(status);
  }

 private:
  mutable std::mutex mutex_;
  absl::Status first_;
};

struct CudaContext::Impl {
  Impl();
  ~Impl();

  // Compute; the default of every op.
  Stream stream;
  Stream communication;
  Stream host_to_device;
  Stream device_to_host;
  Stream host;    // carries work of the host's processors alone
  Event reached;  // the point of a stream that another waits for
  HostErrors host_errors;
  // Some of the host's memory that streams copy from and to is not locked.
  bool has_pageable_memory = false;

  // Before a copy from the host's memory is queued: what lies in pageable memory the driver may read then and there, so that what is queued before has to have written it.
  absl::Status AwaitHostMemory(cudaStream_t copying) const;

  cudaStream_t StreamOf(StreamKind kind) const {
    switch (kind) {
      case StreamKind::kCommunication:
        return communication.get();
      case StreamKind::kHost:
        return host.get();
      case StreamKind::kHostToDevice:
        return host_to_device.get();
      case StreamKind::kDeviceToHost:
        return device_to_host.get();
      default:
        return stream.get();
    }
  }

  DeviceBuffer gemm_workspace;
  DeviceBuffer scratch;
  const CublasLt* lt = nullptr;
  cublasLtHandle_t lt_handle = nullptr;
  std::unique_ptr<GemmPlans> gemm_plans;
  std::unique_ptr<GemmTuner> gemm_tuner;  // while products are tuned
  std::unique_ptr<CudnnEngines> cudnn_engines;
  std::vector<std::string> notes;
};

// The context's scratch memory as `count` elements, for one op: the next op on the stream
// overwrites it. RESOURCE_EXHAUSTED where it is smaller.
template <typename T>
absl::StatusOr<T*> ScratchFor(CudaContext& cuda, int64_t count) {
  const DeviceBuffer& scratch = cuda.impl().scratch;
  const int64_t needed_bytes = count * static_cast<int64_t>(sizeof(T));
  if (needed_bytes <= scratch.size_bytes()) return reinterpret_cast<T*>(scratch.data());
  return absl::ResourceExhaustedError(
      StrCat("an op needs ", needed_bytes, " bytes of CUDA scratch memory and has ",
             scratch.size_bytes(), "; use a smaller micro-batch or context"));
}

}  // namespace tunesmith::trainer
