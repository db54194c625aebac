#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

// Owners of CUDA objects: move-only, because a copy would have no stream to run on. Destructors
// ignore errors: a sticky error has been or will be reported by the next call that returns a
// status. For files that include CUDA's headers alone.
namespace tunesmith::trainer {

// Memory of the current device. RESOURCE_EXHAUSTED, with the bytes asked for, where there is none.
class DeviceBuffer {
 public:
  static absl::StatusOr<DeviceBuffer> Create(int64_t size_bytes);

  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept { Swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~DeviceBuffer();

  std::byte* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  void Swap(DeviceBuffer& other) noexcept;

  std::byte* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

// A stream that does not synchronize with the default stream.
class Stream {
 public:
  static absl::StatusOr<Stream> Create();

  Stream() = default;
  Stream(Stream&& other) noexcept { Swap(other); }
  Stream& operator=(Stream&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~Stream();

  cudaStream_t get() const { return stream_; }

 private:
  void Swap(Stream& other) noexcept;

  cudaStream_t stream_ = nullptr;
};

// An event with timing.
class Event {
 public:
  static absl::StatusOr<Event> Create();

  Event() = default;
  Event(Event&& other) noexcept { Swap(other); }
  Event& operator=(Event&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~Event();

  cudaEvent_t get() const { return event_; }

 private:
  void Swap(Event& other) noexcept;

  cudaEvent_t event_ = nullptr;
};

}  // namespace tunesmith::trainer
