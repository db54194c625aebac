#include "trainer/cuda/device_memory_cuda.h"

#include <cstring>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/resources.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {
namespace {

class CudaMemory final : public DeviceMemory {
 public:
  CudaMemory(CudaContext& context, DeviceBuffer buffer)
      : DeviceMemory(buffer.data(), buffer.size_bytes()),
        context_(context),
        buffer_(std::move(buffer)) {}

  absl::Status Synchronize() override { return context_.Synchronize(); }

 private:
  absl::Status DoFill(std::byte* target, int64_t count_bytes, uint8_t value) override {
    CUDA_RETURN_IF_ERROR(
        cudaMemsetAsync(target, value, static_cast<size_t>(count_bytes), stream()));
    return absl::OkStatus();
  }
  absl::Status DoCopyFromHost(std::byte* target, const void* host, int64_t count_bytes) override {
    CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(target, host, static_cast<size_t>(count_bytes),
                                         cudaMemcpyHostToDevice, stream()));
    return absl::OkStatus();
  }
  absl::Status DoCopyToHost(void* host, const std::byte* source, int64_t count_bytes) override {
    CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(host, source, static_cast<size_t>(count_bytes),
                                         cudaMemcpyDeviceToHost, stream()));
    return absl::OkStatus();
  }

  cudaStream_t stream() { return context_.impl().stream.get(); }

  CudaContext& context_;
  DeviceBuffer buffer_;
};

// The host writes and reads it directly, after all that the device still does with it.
class HostMemory final : public DeviceMemory {
 public:
  HostMemory(CudaContext& context, std::byte* data, int64_t size_bytes, std::shared_ptr<void> owner)
      : DeviceMemory(data, size_bytes), context_(context), owner_(std::move(owner)) {}

  absl::Status Synchronize() override { return context_.Synchronize(); }

 private:
  absl::Status DoFill(std::byte* target, int64_t count_bytes, uint8_t value) override {
    TUNESMITH_RETURN_IF_ERROR(Synchronize());
    std::memset(target, value, static_cast<size_t>(count_bytes));
    return absl::OkStatus();
  }
  absl::Status DoCopyFromHost(std::byte* target, const void* host, int64_t count_bytes) override {
    TUNESMITH_RETURN_IF_ERROR(Synchronize());
    std::memcpy(target, host, static_cast<size_t>(count_bytes));
    return absl::OkStatus();
  }
  absl::Status DoCopyToHost(void* host, const std::byte* source, int64_t count_bytes) override {
    TUNESMITH_RETURN_IF_ERROR(Synchronize());
    std::memcpy(host, source, static_cast<size_t>(count_bytes));
    return absl::OkStatus();
  }

  CudaContext& context_;
  const std::shared_ptr<void> owner_;
};

// In place of pinned memory.
absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocatePageableMemory(CudaContext& context,
                                                                     int64_t size_bytes) {
  TUNESMITH_ASSIGN_OR_RETURN(std::shared_ptr<DeviceMemory> memory,
                             DeviceMemory::Allocate({}, size_bytes));
  context.impl().has_pageable_memory = true;
  context.AddNote(StrCat(
      "the host locked no ", FormatBytes(size_bytes),
      " of memory: what is copied between device and host goes through pageable memory, takes "
      "longer than planned and holds computation up; raise the limit (ulimit -l), or plan with a "
      "smaller "
      "--pinned-memory"));
  std::byte* const data = memory->data();
  return std::make_unique<HostMemory>(context, data, size_bytes, std::move(memory));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocatePinnedMemory(CudaContext& context,
                                                                   int64_t size_bytes) {
  TUNESMITH_RETURN_IF_ERROR(context.MakeCurrent());
  void* data = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&data, static_cast<size_t>(size_bytes), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: clear it, so that the next launch does not report it
    return AllocatePageableMemory(context, size_bytes);
  }
  CUDA_RETURN_IF_ERROR(error);
  return std::make_unique<HostMemory>(context, static_cast<std::byte*>(data), size_bytes,
                                      std::shared_ptr<void>(data, cudaFreeHost));
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateCudaMemory(CudaContext& context,
                                                                 int64_t size_bytes) {
  CUDA_RETURN_IF_ERROR(cudaSetDevice(context.info().index));
  TUNESMITH_ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Create(size_bytes));
  return std::make_unique<CudaMemory>(context, std::move(buffer));
}

}  // namespace tunesmith::trainer
