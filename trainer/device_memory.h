#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// One block of memory on the device where ops run: the arena is one of these. The same interface on
// the CPU and on CUDA, so that its users have no `if (cuda)`.
//
// On CUDA, Fill and the copies are queued on the context's compute stream, in order with the ops;
// host memory that is copied from or to must stay valid and untouched until Synchronize() returns.
// On the CPU everything is done when the call returns. Ranges outside the block are
// INVALID_ARGUMENT. Not thread safe.
class DeviceMemory {
 public:
  // At least 2 MiB aligned on the CPU, 256 bytes on CUDA; contents are unspecified. `context` and
  // what it points to must outlive the block. RESOURCE_EXHAUSTED, with the bytes asked for, where
  // the device does not have them; INVALID_ARGUMENT where size_bytes is negative. A block of 0
  // bytes is valid and has no address.
  static absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(const OpContext& context,
                                                                int64_t size_bytes);

  // Memory of the host that the device copies from and to: pinned where the device is a GPU (pageable, with a note, where the host locks none), else as above. The same errors; Fill and the copies are
  // done when they return.
  static absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateOnHost(const OpContext& context,
                                                                      int64_t size_bytes);

  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  virtual ~DeviceMemory() = default;

  // An address of the device: dereferenceable by the host on the CPU alone.
  std::byte* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

  absl::Status Fill(int64_t offset_bytes, int64_t count_bytes, uint8_t value);
  absl::Status CopyFromHost(int64_t offset_bytes, const void* host, int64_t count_bytes);
  absl::Status CopyToHost(void* host, int64_t offset_bytes, int64_t count_bytes);

  // Waits for everything queued on the compute stream; returns the first error that it met.
  virtual absl::Status Synchronize() = 0;

 protected:
  DeviceMemory(std::byte* data, int64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

 private:
  // The range has been checked and is not empty.
  virtual absl::Status DoFill(std::byte* target, int64_t count_bytes, uint8_t value) = 0;
  virtual absl::Status DoCopyFromHost(std::byte* target, const void* host, int64_t count_bytes) = 0;
  virtual absl::Status DoCopyToHost(void* host, const std::byte* source, int64_t count_bytes) = 0;

  absl::Status CheckRange(int64_t offset_bytes, int64_t count_bytes) const;

  std::byte* const data_;
  const int64_t size_bytes_;
};

}  // namespace tunesmith::trainer
