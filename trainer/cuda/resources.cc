#include "trainer/cuda/resources.h"

#include <utility>

#include "common/str_cat.h"
#include "common/units.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {

absl::StatusOr<DeviceBuffer> DeviceBuffer::Create(int64_t size_bytes) {
  DeviceBuffer buffer;
  if (size_bytes == 0) return buffer;
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(size_bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: clear it, so that the next launch does not report it
    return absl::ResourceExhaustedError(StrCat("the CUDA device gave no ", FormatBytes(size_bytes),
                                               " (", size_bytes, " bytes) of memory"));
  }
  CUDA_RETURN_IF_ERROR(error);
  buffer.data_ = static_cast<std::byte*>(data);
  buffer.size_bytes_ = size_bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) cudaFree(data_);
}

void DeviceBuffer::Swap(DeviceBuffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
}

absl::StatusOr<Stream> Stream::Create() {
  Stream stream;
  CUDA_RETURN_IF_ERROR(cudaStreamCreateWithFlags(&stream.stream_, cudaStreamNonBlocking));
  return stream;
}

Stream::~Stream() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void Stream::Swap(Stream& other) noexcept { std::swap(stream_, other.stream_); }

absl::StatusOr<Event> Event::Create() {
  Event event;
  CUDA_RETURN_IF_ERROR(cudaEventCreate(&event.event_));
  return event;
}

Event::~Event() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

void Event::Swap(Event& other) noexcept { std::swap(event_, other.event_); }

}  // namespace tunesmith::trainer
