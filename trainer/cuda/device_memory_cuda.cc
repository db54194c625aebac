#include "trainer/cuda/device_memory_cuda.h"

#include <utility>

#include "common/status_macros.h"
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

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateCudaMemory(CudaContext& context,
                                                                 int64_t size_bytes) {
  CUDA_RETURN_IF_ERROR(cudaSetDevice(context.info().index));
  TUNESMITH_ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Create(size_bytes));
  return std::make_unique<CudaMemory>(context, std::move(buffer));
}

}  // namespace tunesmith::trainer
