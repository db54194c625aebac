#include "trainer/device_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/str_cat.h"
#include "common/units.h"
#include "trainer/cuda/device_memory_cuda.h"

namespace tunesmith::trainer {
namespace {

// The size of a huge page on x86-64 and on most of Arm.
constexpr int64_t kAlignment = 2 * kMiB;

class CpuMemory final : public DeviceMemory {
 public:
  CpuMemory(void* mapping, int64_t mapping_bytes, std::byte* data, int64_t size_bytes)
      : DeviceMemory(data, size_bytes), mapping_(mapping), mapping_bytes_(mapping_bytes) {}
  ~CpuMemory() override {
    if (mapping_ != nullptr) munmap(mapping_, static_cast<size_t>(mapping_bytes_));
  }

  absl::Status Synchronize() override { return absl::OkStatus(); }

 private:
  absl::Status DoFill(std::byte* target, int64_t count_bytes, uint8_t value) override {
    std::memset(target, value, static_cast<size_t>(count_bytes));
    return absl::OkStatus();
  }
  absl::Status DoCopyFromHost(std::byte* target, const void* host, int64_t count_bytes) override {
    std::memcpy(target, host, static_cast<size_t>(count_bytes));
    return absl::OkStatus();
  }
  absl::Status DoCopyToHost(void* host, const std::byte* source, int64_t count_bytes) override {
    std::memcpy(host, source, static_cast<size_t>(count_bytes));
    return absl::OkStatus();
  }

  void* const mapping_;
  const int64_t mapping_bytes_;
};

absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateCpuMemory(int64_t size_bytes) {
  if (size_bytes == 0) return std::make_unique<CpuMemory>(nullptr, 0, nullptr, 0);
  // mmap aligns to a page only: map one alignment more and start at the first aligned address.
  const int64_t mapping_bytes = size_bytes + kAlignment;
  void* const mapping = mmap(nullptr, static_cast<size_t>(mapping_bytes), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    return absl::ResourceExhaustedError(StrCat("this host gave no ", FormatBytes(size_bytes), " (",
                                               size_bytes,
                                               " bytes) of memory: ", std::strerror(errno)));
  }
  const int64_t address = reinterpret_cast<intptr_t>(mapping);
  std::byte* const data =
      static_cast<std::byte*>(mapping) + (AlignUp(address, kAlignment) - address);
  madvise(data, static_cast<size_t>(size_bytes), MADV_HUGEPAGE);  // a hint: may fail
  return std::make_unique<CpuMemory>(mapping, mapping_bytes, data, size_bytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> DeviceMemory::Allocate(const OpContext& context,
                                                                     int64_t size_bytes) {
  if (size_bytes < 0) {
    return absl::InvalidArgumentError(StrCat("cannot allocate ", size_bytes, " bytes"));
  }
  switch (context.device) {
    case planner::BackendKind::kCpu:
      return AllocateCpuMemory(size_bytes);
    case planner::BackendKind::kCuda:
      return AllocateCudaMemory(*context.cuda, size_bytes);
  }
  return absl::InternalError("unknown device kind");
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> DeviceMemory::AllocateOnHost(const OpContext& context,
                                                                           int64_t size_bytes) {
  if (context.device == planner::BackendKind::kCuda && size_bytes > 0)
    return AllocatePinnedMemory(*context.cuda, size_bytes);
  return AllocateCpuMemory(size_bytes);
}

absl::Status DeviceMemory::CheckRange(int64_t offset_bytes, int64_t count_bytes) const {
  if (offset_bytes >= 0 && count_bytes >= 0 && offset_bytes <= size_bytes_ - count_bytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(StrCat("bytes [", offset_bytes, ", +", count_bytes,
                                           ") lie outside a block of ", size_bytes_));
}

absl::Status DeviceMemory::Fill(int64_t offset_bytes, int64_t count_bytes, uint8_t value) {
  absl::Status in_range = CheckRange(offset_bytes, count_bytes);
  if (!in_range.ok() || count_bytes == 0) return in_range;
  return DoFill(data_ + offset_bytes, count_bytes, value);
}

absl::Status DeviceMemory::CopyFromHost(int64_t offset_bytes, const void* host,
                                        int64_t count_bytes) {
  absl::Status in_range = CheckRange(offset_bytes, count_bytes);
  if (!in_range.ok() || count_bytes == 0) return in_range;
  return DoCopyFromHost(data_ + offset_bytes, host, count_bytes);
}

absl::Status DeviceMemory::CopyToHost(void* host, int64_t offset_bytes, int64_t count_bytes) {
  absl::Status in_range = CheckRange(offset_bytes, count_bytes);
  if (!in_range.ok() || count_bytes == 0) return in_range;
  return DoCopyToHost(host, data_ + offset_bytes, count_bytes);
}

}  // namespace tunesmith::trainer
