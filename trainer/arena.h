#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/program/memory_plan.h"
#include "planner/program/program.h"
#include "trainer/device_memory.h"
#include "trainer/ops/op_call.h"

namespace tunesmith::trainer {

// The memory of a rank, one allocation for each space that its program uses: every buffer at its planned offset. Not thread safe.
class Arena {
 public:
  // RESOURCE_EXHAUSTED with the bytes asked for when the device does not have them. `program` and what `context` points to must outlive it.
  // FAILED_PRECONDITION: the program is of another number of ranks than the context's communicator.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(const planner::Program& program,
                                                       const OpContext& context);

  // The tensor that `ref` names in the run with index `run_index`.
  Tensor At(planner::BufferRef ref, int64_t run_index) const;

  // Bytes of one instance of a buffer, from its first or from `first`, from or to host memory; `instance` counts from 0. Returns when the copy is done.
  absl::Status Write(int32_t buffer, int64_t instance, const void* host, int64_t bytes,
                     int64_t first = 0);
  absl::Status Read(int32_t buffer, int64_t instance, void* host, int64_t bytes, int64_t first = 0);
  // Clears every resident buffer, so that states start at zero.
  absl::Status ClearResident();

  // Observed use: fill with a canary before the first write, count later how many bytes lie in words that no longer hold it.
  absl::Status FillCanary();
  absl::StatusOr<int64_t> CountUsedBytes(planner::Space space = planner::Space::kDevice);

  const planner::MemoryPlan& plan() const { return plan_; }
  int64_t rank() const { return rank_; }
  const planner::Program& program() const { return program_; }
  DeviceMemory& memory(planner::Space space = planner::Space::kDevice) const {
    return *memory_[static_cast<size_t>(space)];
  }

 private:
  Arena(const planner::Program& program, planner::MemoryPlan plan, int64_t rank)
      : program_(program), plan_(std::move(plan)), rank_(rank) {}

  int64_t RankOffset(const planner::Buffer& buffer) const {
    return rank_ * buffer.view_rank_stride_bytes;
  }
  int64_t Offset(int32_t buffer, int64_t instance) const {
    return plan_.offsets[static_cast<size_t>(buffer)][static_cast<size_t>(instance)] +
           RankOffset(program_.buffers[static_cast<size_t>(buffer)]);
  }

  const planner::Program& program_;
  planner::MemoryPlan plan_;
  const int64_t rank_;
  DeviceMemory& MemoryOf(int32_t buffer) const {
    return memory(program_.buffers[static_cast<size_t>(buffer)].space);
  }
  std::array<std::unique_ptr<DeviceMemory>, planner::kSpaceCount> memory_;
};

}  // namespace tunesmith::trainer
